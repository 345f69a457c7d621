// Kvasir through its public API: node kvasir_driver.mjs MODEL DTYPE THREADS
// Default load options, top-k 40, top-p and temperature; the table of kernels comes from KVASIR_CPU_ISA.
import { Model } from '../../dist/index.js';
import { serve } from './line-protocol.mjs';

const [reference, dtype, threads] = process.argv.slice(2);
const sampling = { temperature: 0.7, topK: 40, topP: 0.9, ignoreEos: true };

await serve(async () => {
  const started = performance.now();
  const model = await Model.load(reference, { dtype, threads: Number(threads) });
  const loadSeconds = (performance.now() - started) / 1000;
  const { kernels, memory, vocabSize } = model.info;
  return {
    facts: {
      ...{ kernels, threads: model.info.threads, vocabulary: vocabSize, weightBytes: memory.weights },
      loadSeconds,
    },
    generate: (prompts, newTokens) => generate(model, prompts, newTokens),
  };
});

async function generate(model, prompts, newTokens) {
  const started = performance.now();
  const course = async (ids, i) => {
    const options = { ...sampling, maxTokens: newTokens, seed: i + 1 };
    const { tokens, timings, usage } = await model.generate(Int32Array.from(ids), options);
    if (tokens.length !== newTokens) throw new Error(`wanted ${newTokens} tokens, got ${tokens.length}`);
    if (usage.cachedTokens > 0) throw new Error(`${usage.cachedTokens} prompt tokens came from the cache`);
    return { first: timings.ttftMs, decode: (newTokens - 1) / timings.decodeTokensPerSecond };
  };
  const courses = await Promise.all(prompts.map(course));
  const total = (performance.now() - started) / 1000;
  // The engine's own times, as text is handed out in larger pieces.
  const firsts = courses.map((one) => one.first / 1000);
  // Of several sequences all that they decode counts, so the time starts with the first of their first tokens.
  const decode = prompts.length === 1 && newTokens > 1 ? courses[0].decode : total - Math.min(...firsts);
  return { firstTokenSeconds: Math.max(...firsts), decodeSeconds: decode };
}
