/**
 * The two models of a comparison. Both are in memory where they fit; else one at a time, and each change costs a load.
 */
import { KvasirError } from '../errors.js';
import { Model } from '../model.js';
import type { LoadOptions } from '../options.js';

export type Side = 'a' | 'b';

export class ModelPair {
  readonly #reference: string;
  readonly #options: Record<Side, LoadOptions>;
  readonly #loaded = new Map<Side, Model>();
  readonly loadMs: Partial<Record<Side, number>> = {};
  #bothFit = true;

  private constructor(reference: string, options: Record<Side, LoadOptions>) {
    this.#reference = reference;
    this.#options = options;
  }

  /** Loads a, then b. Throws what `Model.load` throws, but for a b that fits only when a is gone. */
  static async load(reference: string, options: Record<Side, LoadOptions>): Promise<ModelPair> {
    const pair = new ModelPair(reference, options);
    try {
      await pair.#load('a');
      await pair.#load('b').catch((error) => {
        if (!(error instanceof KvasirError) || error.code !== 'INSUFFICIENT_MEMORY') throw error;
        pair.#bothFit = false;
      });
      // Whether it runs at all is to be known before anything is measured.
      if (!pair.#bothFit) await pair.use('b');
    } catch (error) {
      await pair.dispose();
      throw error;
    }
    return pair;
  }

  /** Both models are in memory, so that they can take turns. */
  get bothFit(): boolean {
    return this.#bothFit;
  }

  /** The model of one side. Where not both fit, the other one is disposed of. */
  async use(side: Side): Promise<Model> {
    const here = this.#loaded.get(side);
    if (here !== undefined) return here;
    await this.dispose();
    return this.#load(side);
  }

  /** Idempotent; `use` loads again. */
  async dispose(): Promise<void> {
    const models = [...this.#loaded.values()];
    this.#loaded.clear();
    await Promise.all(models.map((model) => model.dispose()));
  }

  async #load(side: Side): Promise<Model> {
    const started = performance.now();
    const model = await Model.load(this.#reference, this.#options[side]);
    this.#loaded.set(side, model);
    this.loadMs[side] ??= performance.now() - started;
    return model;
  }
}
