/**
 * The stages that change logits before any choice: logit bias, then the repetition penalty, then presence and
 * frequency penalties. They touch only the tokens that occurred or are biased, so they keep those as a list.
 */
import type { LogitChanges } from './logit-changes.js';
import type { SamplingOptions } from './sampling-options.js';

export class Penalties implements LogitChanges {
  readonly onlyBans = false;
  /** Tokens whose logit may change; each once. */
  readonly #touched: number[] = [];
  /** [vocabSize] 1 for the members of `touched`. */
  readonly #isTouched: Uint8Array;
  /** [vocabSize] times that the request generated the token. */
  readonly #generated: Uint32Array;
  /** [vocabSize] 1 where the token occurs in the prompt or the output. */
  readonly #seen: Uint8Array;
  readonly #bias: Readonly<Record<number, number>>;
  readonly #repetition: number;
  readonly #presence: number;
  readonly #frequency: number;

  /** Absent when the options change no logit. */
  static create(options: SamplingOptions, vocabSize: number): Penalties | undefined {
    const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = options;
    const idle =
      repetitionPenalty === 1 &&
      presencePenalty === 0 &&
      frequencyPenalty === 0 &&
      Object.keys(logitBias).length === 0;
    return idle ? undefined : new Penalties(options, vocabSize);
  }

  private constructor(options: SamplingOptions, vocabSize: number) {
    this.#isTouched = new Uint8Array(vocabSize);
    this.#generated = new Uint32Array(vocabSize);
    this.#seen = new Uint8Array(vocabSize);
    this.#bias = options.logitBias;
    this.#repetition = options.repetitionPenalty;
    this.#presence = options.presencePenalty;
    this.#frequency = options.frequencyPenalty;
    for (const id of Object.keys(options.logitBias)) this.#touch(Number(id));
  }

  /** Ids whose logit may differ from the model's. */
  get touched(): readonly number[] {
    return this.#touched;
  }

  isTouched(id: number): boolean {
    return this.#isTouched[id] === 1;
  }

  /** A prompt token: the repetition penalty counts it, presence and frequency do not (they concern the output). */
  acceptPrompt(id: number): void {
    this.#seen[id] = 1;
    if (this.#repetition !== 1) this.#touch(id);
  }

  acceptGenerated(id: number): void {
    this.#seen[id] = 1;
    this.#generated[id]++;
    this.#touch(id);
  }

  /** The logit after all stages of this file, as float32. */
  apply(id: number, logit: number): number {
    let value = logit + (this.#bias[id] ?? 0);
    if (this.#seen[id] === 1) value = value > 0 ? value / this.#repetition : value * this.#repetition;
    const count = this.#generated[id];
    if (count > 0) value -= this.#presence + this.#frequency * count;
    return Math.fround(value);
  }

  #touch(id: number): void {
    if (this.#isTouched[id] === 1) return;
    this.#isTouched[id] = 1;
    this.#touched.push(id);
  }
}
