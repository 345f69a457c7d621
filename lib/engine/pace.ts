/**
 * How many prompt tokens may go into one step, so that a long prompt does not keep others waiting. What a step costs
 * is measured, for it depends on the model, the machine and the depth: a step without prompt tokens gives the base,
 * and what a step takes beyond that is the price of its prompt tokens.
 */

/**
 * Time that prompt tokens may add while others wait for tokens. Nobody's may be 100 ms late, and on a machine that others use
 * too a step takes up to twice as long as the one before foretold.
 */
const SHARED_MS = 35;
/** And while only one request runs: long enough to read the weights seldom, short enough for a newcomer. */
const LONE_MS = 250;
/** Before anything is measured. */
const FIRST_TOKENS = 32;
const MIN_TOKENS = 8;
/** Fewer prompt tokens than this are lost in the noise of the base. */
const MEASURABLE = 8;
/** Weight of a measurement; of a price that went up, all. */
const SMOOTHING = 0.4;
/** Of its step's time, prompt tokens cost at least this part, however the base was measured. */
const MIN_PART = 0.25;
/** Kernels work on rows in tiles; a few rows more than a tile cost as much as a tile. */
const TILE = 8;

export class Pace {
  /** More brings nothing: the weights are read once per step, and a native step's rows fill every kernel and thread. */
  readonly #stepTokens: number;
  #baseMs: number | undefined;
  #msPerToken: number | undefined;

  constructor(stepTokens: number) {
    this.#stepTokens = stepTokens;
  }

  /** Tells how long a step with so many prompt tokens took. */
  record(promptTokens: number, milliseconds: number): void {
    if (promptTokens === 0) {
      const before = this.#baseMs ?? milliseconds;
      this.#baseMs = before + SMOOTHING * (milliseconds - before);
    } else if (promptTokens >= MEASURABLE) {
      const added = Math.max(milliseconds - (this.#baseMs ?? 0), MIN_PART * milliseconds);
      const price = added / promptTokens;
      const before = this.#msPerToken ?? price;
      this.#msPerToken = price > before ? price : before + SMOOTHING * (price - before);
    }
  }

  /** Prompt tokens that the next step may hold beside its decode tokens. */
  promptTokens(shared: boolean, decodeTokens: number): number {
    const room = Math.max(MIN_TOKENS, this.#stepTokens - decodeTokens);
    if (this.#msPerToken === undefined) return Math.min(room, FIRST_TOKENS);
    const affordable = (shared ? SHARED_MS : LONE_MS) / this.#msPerToken;
    const tiles = Math.max(MIN_TOKENS, Math.floor(affordable / TILE) * TILE);
    return Math.min(room, tiles);
  }
}
