/** Loads a model for one command: with progress, with Ctrl-C, and disposed of at the end whatever happens. */
import { Model } from '../model.js';
import type { LoadOptions } from '../options.js';
import { createProgress } from './progress.js';

export async function withModel<T>(
  reference: string,
  options: LoadOptions & { signal: AbortSignal },
  use: (model: Model, loadMs: number) => Promise<T>,
): Promise<T> {
  const progress = createProgress();
  const started = performance.now();
  const model = await Model.load(reference, {
    ...options,
    onProgress: (state) => progress.report(state),
  }).finally(() => progress.stop());
  const loadMs = performance.now() - started;
  try {
    return await use(model, loadMs);
  } finally {
    await model.dispose();
  }
}
