/**
 * How many prompt tokens may go into one step, so that a long prompt does not keep others waiting. The cost of a
 * prompt token is measured, for it depends on the model, the machine and the depth.
 */

/** Step time to aim at while others wait for tokens: well under the 100 ms that nobody's token may be late. */
const SHARED_STEP_MS = 55;
/** And while only one request runs: long enough to read the weights seldom, short enough for a newcomer. */
const LONE_STEP_MS = 250;
/** More brings nothing: the weights are read once per step, and 512 rows fill every kernel. */
export const MAX_STEP_TOKENS = 512;
/** For the first step of all. */
const FIRST_TOKENS = 32;
const MIN_TOKENS = 8;
/** Fewer prompt tokens than this measure the cost of the step, not of a token. */
const MEASURABLE = 8;
/** Weight of a new, faster measurement; a slower one counts at once. */
const SMOOTHING = 0.4;
/** Kernels work on rows in tiles; a few rows more than a tile cost as much as a tile. */
const TILE = 8;

export class Pace {
  #msPerToken = 0;

  /** Tells how long a step with so many prompt tokens took. */
  record(promptTokens: number, milliseconds: number): void {
    if (promptTokens < MEASURABLE) return;
    const measured = milliseconds / promptTokens;
    const before = this.#msPerToken;
    this.#msPerToken = measured > before ? measured : before + SMOOTHING * (measured - before);
  }

  /** Prompt tokens that the next step may hold beside its decode tokens. */
  promptTokens(shared: boolean, decodeTokens: number): number {
    const room = Math.max(MIN_TOKENS, MAX_STEP_TOKENS - decodeTokens);
    if (this.#msPerToken === 0) return Math.min(room, FIRST_TOKENS);
    const affordable = (shared ? SHARED_STEP_MS : LONE_STEP_MS) / this.#msPerToken;
    const tiles = Math.max(MIN_TOKENS, Math.floor(affordable / TILE) * TILE);
    return Math.min(room, tiles);
  }
}
