/**
 * Chooses the next token of one request from a row of logits. The stages, in this order:
 *   logit bias, repetition penalty, presence and frequency penalties   (they correct the model: first, on logits)
 *   temperature                                                       (before the filters, as Hugging Face does:
 *                                                                      top-p means the mass that is really drawn from)
 *   top-k, top-p, min-p, typical-p                                    (cheap and coarse ones first)
 *   one draw from the renormalised survivors, or the largest logit when the temperature is 0
 * The draw is exact over the whole vocabulary: the 256 candidates are a shortcut, never an approximation.
 */
import { keepMinP, keepTopK, keepTopP } from './filters.js';
import { Penalties } from './penalties.js';
import { Random } from './random.js';
import type { LogitRow, SamplingOptions } from './sampling-options.js';
import { Shortlist } from './shortlist.js';
import { TypicalFilter } from './typical.js';

/** Buffers of one vocabulary, shared by the samplers of all its requests: sampling never awaits. */
export class SamplerBuffers {
  readonly list: Shortlist;
  readonly typical: TypicalFilter;

  constructor(readonly vocabSize: number) {
    this.list = new Shortlist(vocabSize);
    this.typical = new TypicalFilter(vocabSize);
  }
}

export class Sampler {
  readonly #options: SamplingOptions;
  readonly #buffers: SamplerBuffers;
  readonly #penalties: Penalties | undefined;
  readonly #random: Random;
  /** No stage looks past so many tokens. */
  readonly #limit: number;

  constructor(options: SamplingOptions, buffers: SamplerBuffers) {
    this.#options = options;
    this.#buffers = buffers;
    this.#penalties = Penalties.create(options, buffers.vocabSize);
    this.#random = new Random(options.seed);
    if (options.temperature === 0) this.#limit = 1;
    else this.#limit = options.topK || buffers.vocabSize;
  }

  /** Whether rows must come with all their logits, given how many candidates they bring. */
  needsFullRow(candidates: number): boolean {
    if (this.#penalties) return true;
    return this.#limit > candidates && candidates < this.#buffers.vocabSize;
  }

  /** Tells the repetition penalty what the prompt holds. */
  acceptPrompt(tokens: Int32Array): void {
    if (this.#penalties) for (const id of tokens) this.#penalties.acceptPrompt(id);
  }

  /** The next token; the penalties know it from now on. Throws INTERNAL when the logits are no numbers. */
  sample(row: LogitRow): number {
    const { temperature, topK, topP, minP, typicalP } = this.#options;
    const list = this.#buffers.list;
    list.load(row, this.#penalties, temperature, this.#limit);
    if (temperature === 0) {
      list.keepLargest(1);
    } else {
      keepTopK(list, topK);
      keepTopP(list, topP, minP);
      keepMinP(list, minP);
      this.#buffers.typical.keep(list, typicalP);
    }
    const token = list.n === 1 && list.complete ? list.ids[0] : this.#draw(list);
    this.#penalties?.acceptGenerated(token);
    return token;
  }

  /** A token that was not sampled: the penalties know it from now on. */
  accept(token: number): void {
    this.#penalties?.acceptGenerated(token);
  }

  #draw(list: Shortlist): number {
    let remaining = this.#random.uniform() * list.total();
    for (let i = 0; i < list.n; i++) {
      remaining -= list.weights[i];
      if (remaining < 0) return list.ids[i];
    }
    return list.complete ? list.ids[list.n - 1] : list.drawOutside(remaining);
  }
}
