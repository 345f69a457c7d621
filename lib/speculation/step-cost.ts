/**
 * What a step costs by its number of rows: a straight line through the latest steps, older ones counting less. How steep it
 * is depends on the model, the machine and what else runs on it. Where steps are of one size, what was found before stands
 * in, and before anything was found an expectation.
 */

/** Weight that a step keeps with each that follows. */
const MEMORY = 0.96;
/** A row is expected to cost this part of a step of one row. */
const EXPECTED_SHARE = 0.08;
/** What stands in counts as much as steps with this sum of squared distances from the mean. */
const PRIOR_WEIGHT = 2;
/** No row is free. */
const LEAST_SHARE = 0.005;
/** A step that took more than so many times what was foretold was held up by something else. */
const MOST_SURPRISE = 2;
/** Beyond, rows are no measure of what a few more cost. */
const MOST_ROWS = 96;

export class StepCost {
  #weight = 0;
  #rows = 0;
  #ms = 0;
  #rowsRows = 0;
  #rowsMs = 0;
  /** Of a step of one row, what a further row costs where the latest steps do not tell. */
  #share = EXPECTED_SHARE;
  /** The largest step of late. */
  #largest = 0;
  /** Milliseconds of a further row. */
  price = 0;
  /** Milliseconds of a step without rows, as far as the line goes. */
  base = 0;

  /** Something was measured. */
  get known(): boolean {
    return this.#weight > 0;
  }

  /** The latest steps tell what a row costs. */
  sure = false;

  /** Larger steps would cost what nobody knows. */
  get mostRows(): number {
    return Math.floor(2 * this.#largest) + 3;
  }

  of(rows: number): number {
    return this.base + this.price * rows;
  }

  record(rows: number, milliseconds: number): void {
    if (rows > MOST_ROWS) return;
    // A row costs no more than a step of its own.
    const most = Math.max(MOST_SURPRISE * this.of(rows), rows * this.of(1));
    const ms = this.known ? Math.min(milliseconds, most) : milliseconds;
    this.#weight = this.#weight * MEMORY + 1;
    this.#rows = this.#rows * MEMORY + rows;
    this.#ms = this.#ms * MEMORY + ms;
    this.#rowsRows = this.#rowsRows * MEMORY + rows * rows;
    this.#rowsMs = this.#rowsMs * MEMORY + rows * ms;
    this.#largest = Math.max(rows, this.#largest * MEMORY);
    this.#fit();
  }

  #fit(): void {
    const meanRows = this.#rows / this.#weight;
    const meanMs = this.#ms / this.#weight;
    const spread = this.#rowsRows - this.#rows * meanRows;
    const together = this.#rowsMs - this.#rows * meanMs;
    const before = (this.#share * meanMs) / (1 + this.#share * (meanRows - 1));
    const slope = (together + PRIOR_WEIGHT * before) / (spread + PRIOR_WEIGHT);
    this.price = Math.min(meanMs / meanRows, Math.max((LEAST_SHARE * meanMs) / meanRows, slope));
    this.base = meanMs - this.price * meanRows;
    this.sure = spread > 2 * PRIOR_WEIGHT;
    if (this.sure) this.#share = this.price / this.of(1);
  }
}
