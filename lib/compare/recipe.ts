/**
 * The smallest `keepFp32` that meets a bound on the mean KL: the most sensitive layers or linears first, as many as
 * needed, then without those that turn out not to be needed.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { linearsWithin } from '../keep-fp32.js';
import { layerCount, type ModelSpec } from '../spec.js';
import { compareRows } from './divergence.js';
import type { InspectedModel } from './layer-linears.js';
import type { Sensitivity } from './layers.js';
import { firstScored } from './windows.js';

export interface Recipe {
  /** For `Model.load`. Empty: INT8 as it is meets the bound. */
  keepFp32: string[];
  /** With them, over the search's windows. */
  meanKl: number;
  maxKl: number;
  /** false: not even all of them suffice, because the KV cache is INT8. */
  met: boolean;
  /** Windows that the search looked at. */
  windows: number;
}

export interface RecipeInputs {
  reference: InspectedModel;
  quantized: InspectedModel;
  spec: ModelSpec;
  windows: readonly Int32Array[];
  sensitivity: readonly Sensitivity[];
  maxKl: number;
  signal: AbortSignal;
  /** After each window: how much of 1 is done, and seconds left, if the next try but one meets the bound. */
  onProgress?(done: number, secondsLeft: number): void;
}

/** The linears of a ranked name. */
export function linearsOf(name: string, model: InspectedModel): string[] {
  return linearsWithin(name, Object.keys(model.info.linears));
}

export async function findRecipe(given: RecipeInputs): Promise<Recipe> {
  const { sensitivity, maxKl, windows } = given;
  const clock = new SearchClock(windows.length, given.onProgress);
  const meter = new KlMeter(given, clock);
  const names = sensitivity.map(({ name }) => name);
  const meets = async (kept: readonly string[], triesLeft: number) => {
    clock.expect(triesLeft);
    return (await meter.meanKl(kept)) <= maxKl;
  };
  const triesBetween = (fewest: number, enough: number) => Math.ceil(Math.log2(enough - fewest + 1)) + enough;
  const result = async (kept: string[], met: boolean): Promise<Recipe> => {
    const meanKl = await meter.meanKl(kept);
    clock.finish();
    return { keepFp32: kept, meanKl, maxKl, met, windows: windows.length };
  };
  // 0, 1, 2, 4, ... of them until the bound is met, then the least number by halving.
  let [least, most] = [0, 0];
  const doubled = () => Math.min(names.length, Math.max(1, 2 * most));
  while (!(await meets(names.slice(0, most), 2 + triesBetween(Math.min(most + 1, doubled()), doubled())))) {
    if (most >= names.length) return result(names, false);
    least = most + 1;
    most = doubled();
  }
  while (least < most) {
    const middle = (least + most) >> 1;
    if (await meets(names.slice(0, middle), triesBetween(least, most))) most = middle;
    else least = middle + 1;
  }
  let kept = names.slice(0, most);
  for (const [i, name] of [...kept].reverse().entries()) {
    const without = kept.filter((one) => one !== name);
    if (await meets(without, most - i)) kept = without;
  }
  return result(kept, true);
}

/** How far the search is: in windows, for a try is long. */
class SearchClock {
  readonly #windowsOfTry: number;
  readonly #report: ((done: number, secondsLeft: number) => void) | undefined;
  readonly #startedAt = performance.now();
  #windows = 0;
  #windowsLeft = 0;
  #done = 0;

  constructor(windowsOfTry: number, report?: (done: number, secondsLeft: number) => void) {
    this.#windowsOfTry = windowsOfTry;
    this.#report = report;
  }

  /** @param tries to come, the one that begins among them. */
  expect(tries: number): void {
    this.#windowsLeft = tries * this.#windowsOfTry;
  }

  /** Tries that were made before cost nothing, so there may be fewer windows than expected. */
  finish(): void {
    this.#report?.(1, 0);
  }

  windowDone(): void {
    this.#windows++;
    this.#windowsLeft = Math.max(0, this.#windowsLeft - 1);
    const all = this.#windows + this.#windowsLeft;
    // A try that does not meet the bound makes the way longer; a bar that goes back would look broken.
    this.#done = Math.max(this.#done, this.#windows / all);
    const seconds = (performance.now() - this.#startedAt) / 1000;
    this.#report?.(this.#done, (seconds / this.#windows) * this.#windowsLeft);
  }
}

/** Mean KL of the INT8 model with some linears in FP32. Remembers what it has measured. */
class KlMeter {
  readonly #given: RecipeInputs;
  readonly #clock: SearchClock;
  readonly #known = new Map<string, number>();
  /** [window] logits of the reference. */
  readonly #reference: Float32Array[] = [];

  constructor(given: RecipeInputs, clock: SearchClock) {
    this.#given = given;
    this.#clock = clock;
  }

  async meanKl(kept: readonly string[]): Promise<number> {
    const key = [...kept].sort().join();
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const { reference, quantized, windows } = this.#given;
    quantized.borrow(
      reference,
      kept.flatMap((name) => linearsOf(name, quantized)),
    );
    let sum = 0;
    let rows = 0;
    try {
      for (const [i, window] of windows.entries()) {
        this.#given.signal.throwIfAborted();
        this.#reference[i] ??= await this.#logits(reference, window);
        const compared = await this.#compare(
          this.#reference[i],
          await this.#logits(quantized, window),
          window,
        );
        sum += compared.sum;
        rows += compared.rows;
        this.#clock.windowDone();
      }
    } finally {
      quantized.borrow(reference, []);
    }
    this.#known.set(key, sum / rows);
    return sum / rows;
  }

  async #logits(model: InspectedModel, window: Int32Array): Promise<Float32Array> {
    const first = firstScored(window.length);
    const rows = Int32Array.from({ length: window.length - 1 - first }, (_, i) => first + i);
    const end = layerCount(this.#given.spec);
    return (await model.runLayers({ tokens: window, first: 0, end, rows, taps: [] })).logits;
  }

  async #compare(reference: Float32Array, other: Float32Array, window: Int32Array) {
    const { vocabSize } = this.#given.spec;
    const rows = reference.length / vocabSize;
    let sum = 0;
    for (let i = 0; i < rows; i++) {
      const [from, to] = [i * vocabSize, (i + 1) * vocabSize];
      const target = window[firstScored(window.length) + i + 1]!;
      sum += compareRows(reference.subarray(from, to), other.subarray(from, to), target).kl;
      await nextTurn();
    }
    return { sum, rows };
  }
}
