/** `model.trace`: what is to be generated first, and then the trace of all of it. */
import type { Generation } from '../engine/run.js';
import type { SamplerWatch } from '../generation/sampler-watch.js';
import { DrawRecorder } from './draws.js';
import { runTrace } from './run-trace.js';
import type { Traced } from './text-run.js';
import type { Trace } from './trace.js';
import type { TraceSampling, TraceSettings } from './trace-options.js';

/** Options of `generate`. */
type Given = TraceSampling & { maxTokens: number; signal?: AbortSignal };

/** @param generate starts a generation behind the prompt. Throws what it and `runTrace` throw. */
export async function traceText(
  traced: Traced,
  prompt: Int32Array,
  settings: TraceSettings,
  generate: (options: Given, watch: SamplerWatch) => Generation,
): Promise<Trace> {
  const { generate: maxTokens, sampling = { temperature: 0 }, signal, top } = settings;
  if (maxTokens === 0) return runTrace(traced, prompt, undefined, settings);
  const recorder = new DrawRecorder(prompt.length, traced.spec.vocabSize, top, traced.textOf);
  const { tokens, usage } = await generate({ ...sampling, maxTokens, signal }, recorder);
  signal?.throwIfAborted();
  const { cachedTokens } = usage;
  const generated = { tokens: tokens.length, cachedTokens, draws: recorder.draws };
  return runTrace(traced, Int32Array.from([...prompt, ...tokens]), generated, settings);
}
