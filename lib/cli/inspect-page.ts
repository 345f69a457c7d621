/** `kvasir inspect --html`: what a model makes of a text as one page to walk through, with --compare INT8 beside FP32. */
import { type Model, tracedOf } from '../model.js';
import type { LoadOptions } from '../options.js';
import { besideOf } from '../trace-page/beside.js';
import { type PageModel, pageTraceOptions, tracePage } from '../trace-page/trace-page.js';
import type { Trace } from '../trace/trace.js';
import { withModel } from './load.js';
import { createProgress } from './progress.js';

interface PageWanted {
  reference: string;
  prompt: string;
  generate?: number;
  positions?: number[];
  compare?: boolean;
  load: LoadOptions;
  signal: AbortSignal;
}

/** Traces the text and makes the page. */
export function inspectPage(wanted: PageWanted): Promise<string> {
  const { reference, prompt, generate, positions, load, signal } = wanted;
  return withModel(reference, { ...load, signal }, async (model) => {
    const trace = await traceWhole(model, prompt, generate, signal);
    const own = { info: model.info, traced: tracedOf(model) };
    if (!wanted.compare) return tracePage(own, trace, positions);
    const beside = await traceBeside(wanted, own, trace);
    return tracePage(own, trace, positions, beside);
  });
}

/** The same tokens through the model in its other form. */
function traceBeside({ reference, load, signal }: PageWanted, own: PageModel, trace: Trace) {
  const name = own.info.dtype;
  const dtype = name === 'int8' ? 'fp32' : 'int8';
  const ids = Int32Array.from(trace.tokens, ({ id }) => id);
  const { threads, contextLength } = load;
  return withModel(reference, { threads, contextLength, device: 'cpu', dtype, signal }, async (model) => {
    const sides = [
      { name, traced: own.traced, trace },
      { name: dtype, traced: tracedOf(model), trace: await traceWhole(model, ids, undefined, signal) },
    ];
    const [exact, rounded] = name === 'fp32' ? sides : sides.reverse();
    return besideOf(exact!, rounded!);
  });
}

function traceWhole(
  model: Model,
  prompt: string | Int32Array,
  generate: number | undefined,
  signal: AbortSignal,
): Promise<Trace> {
  const progress = createProgress();
  return model
    .trace(prompt, {
      ...pageTraceOptions(tracedOf(model)),
      generate,
      signal,
      onProgress: ({ done, total }) => progress.count('tracing layers', done, total),
    })
    .finally(() => progress.stop());
}
