/** The process that memory.ts starts: loads one model, fills its context, reports, and is ended. */
import { KvasirError } from '../errors.js';
import { Model } from '../model.js';
import type { ModeMemory, ProbeReply, ProbeRequest } from './memory.js';

async function measure({ reference, options }: ProbeRequest): Promise<ModeMemory> {
  const baseRss = process.memoryUsage.rss();
  const model = await Model.load(reference, { ...options, kvCapacity: options.contextLength });
  const { info } = model;
  await fillContext(model);
  const { weights, kv, scratch, predicted } = info.memory;
  return {
    weights,
    kv,
    scratch,
    predicted,
    baseRss,
    // In kilobytes, whatever the platform.
    peakRss: 1024 * process.resourceUsage().maxRSS,
    contextTokens: info.contextLength,
  };
}

/** By one text, of a model that gives vectors cut to what it takes. */
async function fillContext(model: Model): Promise<void> {
  const { contextLength, vocabSize, kind } = model.info;
  if (kind === 'encoder') {
    await model.embed('a '.repeat(contextLength), { overflow: 'truncate' });
    return;
  }
  const decoded = Math.min(16, contextLength - 1);
  const length = Math.max(1, contextLength - decoded);
  const prompt = Int32Array.from({ length }, (_, i) => i % vocabSize);
  await model.generate(prompt, { temperature: 0, maxTokens: decoded + 1, ignoreEos: true });
}

// Whoever asked is gone.
process.once('disconnect', () => process.exit());
process.once('message', (request: ProbeRequest) => {
  measure(request).then(
    (memory) => process.send!({ memory } satisfies ProbeReply),
    (error) => {
      const code = error instanceof KvasirError ? error.code : 'INTERNAL';
      process.send!({ error: { code, message: String(error?.message ?? error) } } satisfies ProbeReply);
    },
  );
});
