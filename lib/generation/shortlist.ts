/**
 * The most probable tokens of one row, in order, and how much probability lies outside them. It starts from the
 * candidates that native picked and reads the whole row only when a stage needs more of it.
 */
import { KvasirError } from '../errors.js';
import { LargestFinder } from './largest.js';
import type { LogitChanges } from './logit-changes.js';
import type { LogitRow } from './sampling-options.js';

/** Below this part of the mass before penalties, a difference of masses has lost too many digits. */
const SAFE_REMAINDER = 0.05;

export class Shortlist {
  readonly #vocabSize: number;
  readonly #finder: LargestFinder;
  /** [vocabSize] f32, the row after penalties; valid when `#hasValues`. */
  readonly #values: Float32Array;
  #hasValues = false;
  #row!: LogitRow;
  #penalties: LogitChanges | undefined;
  #temperature = 1;
  /** The row's log-sum-exp is not of `#temperature` any more. */
  #tempered = false;
  /** [vocabSize] places of the largest entries of a list that has been cut. */
  #places: Int32Array | undefined;

  /** [n] ids: the most probable first, equal logits by the lower id, while `sorted`; else ascending. */
  readonly ids: Int32Array;
  /** [n] logits after penalties. */
  readonly logits: Float32Array;
  /** [n] exp((logit - largest logit) / temperature): 1 for the most probable. */
  readonly weights: Float64Array;
  n = 0;
  /** Nothing outside the list can be drawn. */
  complete = false;
  sorted = true;
  /** Largest logit after penalties. */
  #max = 0;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
    this.#finder = new LargestFinder(vocabSize);
    this.#values = new Float32Array(vocabSize);
    this.ids = new Int32Array(vocabSize);
    this.logits = new Float32Array(vocabSize);
    this.weights = new Float64Array(vocabSize);
  }

  /**
   * Starts on a row. `limit`: no stage will look past so many entries. `penalties` need the full row, but for those that
   * only forbid tokens.
   */
  load(row: LogitRow, penalties: LogitChanges | undefined, temperature: number, limit: number): void {
    this.#row = row;
    this.#penalties = penalties;
    this.#temperature = temperature || 1;
    this.#tempered = false;
    this.#hasValues = false;
    if (penalties?.onlyBans) {
      this.#loadAllowed(penalties, limit);
    } else if (penalties) {
      this.#loadPenalized(penalties);
    } else {
      this.n = Math.min(limit, row.ids.length);
      this.ids.set(row.ids.subarray(0, this.n));
      this.logits.set(row.logits.subarray(0, this.n));
      this.complete = this.n === this.#vocabSize || (row.complete === true && this.n === row.ids.length);
      this.sorted = true;
      this.#weigh(this.logits[0]);
    }
    if (this.#max === Number.NEGATIVE_INFINITY && row.logits[0] > this.#max) {
      throw new KvasirError(
        'INVALID_OPTION',
        'Every token is forbidden (badWords, noRepeatNgram, minTokens): none can follow.',
      );
    }
    if (!Number.isFinite(this.#max)) {
      throw new KvasirError(
        'MODEL_FORMAT',
        `The model gave a logit of ${this.#max}: its weights may be damaged.`,
      );
    }
  }

  /** Keeps the first n entries and nothing else. */
  cut(n: number): void {
    this.n = n;
    this.complete = true;
  }

  /** Takes in the whole row, unsorted. */
  extend(): void {
    const values = this.values();
    this.n = values.length;
    this.complete = true;
    this.sorted = false;
    let max = Number.NEGATIVE_INFINITY;
    for (let id = 0; id < values.length; id++) {
      this.ids[id] = id;
      if (values[id] > max) max = values[id];
    }
    this.logits.set(values);
    this.#weigh(max);
  }

  /** Keeps the k largest logits, sorted; exactly k, equal ones by the lower id. */
  keepLargest(k: number): void {
    if (!this.complete && k > this.n) this.extend();
    if (!this.sorted) this.#sortLargest(k);
    this.cut(Math.min(k, this.n));
  }

  /** The k largest logits of an unsorted list, whose ids ascend. */
  #sortLargest(k: number): void {
    this.#places ??= new Int32Array(this.#vocabSize);
    const places = this.#places;
    const found = this.#finder.find(this.logits, this.n, Math.min(k, this.n), places);
    const entries = Array.from(places.subarray(0, found), (i) => ({
      id: this.ids[i],
      logit: this.logits[i],
    }));
    entries.forEach(({ id, logit }, i) => {
      this.ids[i] = id;
      this.logits[i] = logit;
    });
    this.n = found;
    this.sorted = true;
    this.#weigh(this.#max);
  }

  /** Keeps the fewest entries with the largest `values` [n] whose weights sum to at least `target`. */
  keepMass(values: Float32Array, target: number): void {
    let n = 0;
    this.#finder.forMass(values, this.weights, this.n, target, (i) => {
      this.#move(i, n++);
    });
    this.cut(n);
  }

  /** Keeps the entries of at least this weight. */
  keepWeights(min: number): void {
    let n = 0;
    for (let i = 0; i < this.n; i++) if (this.weights[i] >= min) this.#move(i, n++);
    this.cut(n);
  }

  /** Keeps the entries whose logit is at least this. */
  keepLogits(min: number): void {
    let n = 0;
    for (let i = 0; i < this.n; i++) if (this.logits[i] >= min) this.#move(i, n++);
    this.cut(n);
  }

  /** Drops the entries of at least this weight but for the last of them; the list must be complete. */
  dropWeights(min: number): void {
    let last = -1;
    for (let i = 0; i < this.n; i++) {
      if (this.weights[i] >= min && (last < 0 || this.logits[i] <= this.logits[last])) last = i;
    }
    if (last < 0) return;
    let n = 0;
    for (let i = 0; i < this.n; i++) if (i === last || this.weights[i] < min) this.#move(i, n++);
    this.cut(n);
    this.#weigh(this.logits.subarray(0, n).reduce((a, b) => Math.max(a, b)));
  }

  /** Goes on at another temperature. */
  temper(temperature: number): void {
    this.#temperature = temperature;
    this.#tempered = true;
    this.#weigh(this.#max);
  }

  /** The last entry that has any weight. */
  lastPossible(): number {
    let last = this.n - 1;
    while (last > 0 && this.weights[last] === 0) last--;
    return this.ids[last];
  }

  #move(from: number, to: number): void {
    this.ids[to] = this.ids[from];
    this.logits[to] = this.logits[from];
    this.weights[to] = this.weights[from];
  }

  /** [vocabSize] the whole row after penalties. */
  values(): Float32Array {
    const full = this.#row.full;
    if (!full) throw new KvasirError('INTERNAL', 'The sampler needs the full row of logits of this step.');
    if (this.#hasValues) return this.#values;
    this.#values.set(full);
    const penalties = this.#penalties;
    if (penalties) for (const id of penalties.touched) this.#values[id] = penalties.apply(id, full[id]);
    this.#hasValues = true;
    return this.#values;
  }

  /** Weight of everything that can be drawn, in or outside the list. */
  total(): number {
    let inside = 0;
    for (let i = 0; i < this.n; i++) inside += this.weights[i];
    if (this.complete) return inside;
    const outside = this.#totalFromLogSumExp() - inside;
    return Number.isFinite(outside) ? inside + Math.max(0, outside) : this.#totalFromRow();
  }

  /** Draws from outside the list: the token, in the order of ids, at which the weights pass `remaining`. */
  drawOutside(remaining: number): number {
    const values = this.values();
    const last = this.n - 1;
    const lastLogit = this.logits[last];
    const lastId = this.ids[last];
    let left = remaining;
    let fallback = this.ids[0];
    for (let id = 0; id < values.length; id++) {
      const logit = values[id];
      if (logit > lastLogit || (logit === lastLogit && id <= lastId)) continue;
      const weight = this.#weight(logit);
      if (weight === 0) continue;
      left -= weight;
      fallback = id;
      if (left < 0) break;
    }
    return fallback;
  }

  /** The candidates that are not forbidden: nothing outside them is larger. */
  #loadAllowed(bans: LogitChanges, limit: number): void {
    const { ids, logits } = this.#row;
    this.n = 0;
    let read = 0;
    for (; read < ids.length && this.n < limit; read++) {
      if (bans.isTouched(ids[read])) continue;
      this.ids[this.n] = ids[read];
      this.logits[this.n++] = logits[read];
    }
    this.complete = read === this.#vocabSize;
    this.sorted = true;
    this.#weigh(this.n > 0 ? this.logits[0] : Number.NEGATIVE_INFINITY);
  }

  /** Every token above the lowest candidate, after penalties: below it, native's candidates say nothing. */
  #loadPenalized(penalties: LogitChanges): void {
    const { ids, logits, full } = this.#row;
    if (!full) throw new KvasirError('INTERNAL', 'Penalties need the full row of logits.');
    if (ids.length === this.#vocabSize) {
      this.extend();
      return;
    }
    const floor = logits[logits.length - 1];
    this.n = this.#collectAbove(penalties, floor);
    if (this.n === 0) {
      this.extend();
      return;
    }
    this.#finder.sortPairs(this.logits, this.ids, this.n);
    this.complete = false;
    this.sorted = true;
    this.#weigh(this.logits[0]);
  }

  /** Unsorted entries above `floor` into ids and logits; returns their number. */
  #collectAbove(penalties: LogitChanges, floor: number): number {
    const row = this.#row;
    let n = 0;
    for (let i = 0; i < row.ids.length; i++) {
      const id = row.ids[i];
      if (penalties.isTouched(id) || row.logits[i] <= floor) continue;
      this.ids[n] = id;
      this.logits[n++] = row.logits[i];
    }
    const full = row.full as Float32Array;
    for (const id of penalties.touched) {
      const logit = penalties.apply(id, full[id]);
      if (logit <= floor) continue;
      this.ids[n] = id;
      this.logits[n++] = logit;
    }
    return n;
  }

  #weight(logit: number): number {
    return Math.exp((logit - this.#max) / this.#temperature);
  }

  #weigh(max: number): void {
    this.#max = max;
    for (let i = 0; i < this.n; i++) this.weights[i] = this.#weight(this.logits[i]);
  }

  /** NaN where the difference between before and after penalties is too small to trust. */
  #totalFromLogSumExp(): number {
    if (this.#tempered) return Number.NaN;
    // Rows of which only some tokens may be drawn sum up when they are asked.
    const before = Math.exp(this.#row.logSumExp - this.#max / this.#temperature);
    const penalties = this.#penalties;
    if (!penalties) return before;
    const full = this.#row.full as Float32Array;
    let after = before;
    for (const id of penalties.touched) {
      after += this.#weight(penalties.apply(id, full[id])) - this.#weight(full[id]);
    }
    return after > SAFE_REMAINDER * before ? after : Number.NaN;
  }

  #totalFromRow(): number {
    const values = this.values();
    let sum = 0;
    for (let id = 0; id < values.length; id++) sum += this.#weight(values[id]);
    return sum;
  }
}
