/**
 * What many compared rows say together, by the formulas of llama.cpp's `llama-perplexity --kl-divergence`
 * (tools/perplexity), so that its published tables can be set beside ours: standard errors are those of a mean, and
 * percentiles lie between two values in proportion.
 */
import type { RowComparison } from './divergence.js';

/** A mean and its standard error. */
export interface Estimate {
  value: number;
  error: number;
}

/** Change of the probability of the token that really came, Q minus P: from -1 to 1. */
export interface ProbabilityChange {
  mean: number;
  /** Root of the mean square. */
  rms: number;
  min: number;
  p1: number;
  p5: number;
  p25: number;
  median: number;
  p75: number;
  p95: number;
  p99: number;
  max: number;
}

/** Rows whose KL lies in [from, to); the last one holds `to` too. */
export interface HistogramBin {
  from: number;
  to: number;
  count: number;
}

export interface QualityStatistics {
  /** Compared rows, one for each scored token. */
  rows: number;
  /** KL(P || Q) in nats. */
  meanKl: number;
  meanKlError: number;
  medianKl: number;
  p95Kl: number;
  p99Kl: number;
  p999Kl: number;
  maxKl: number;
  /** Part of the rows, from 0 to 1, whose most probable token is the same. */
  sameTop1: number;
  sameTop1Error: number;
  probabilityChange: ProbabilityChange;
  /** Of the reference, and of the other. */
  perplexity: [number, number];
  /** The other's over the reference's. */
  perplexityRatio: number;
  perplexityRatioError: number;
  /** KL on a logarithmic scale, ten bins a decade; rows below the least come first, from 0 on. */
  klHistogram: HistogramBin[];
}

/** Collects rows one by one; keeps 4 numbers of each. */
export class QualityAccumulator {
  readonly #kl: number[] = [];
  readonly #change: number[] = [];
  readonly #reference: number[] = [];
  readonly #other: number[] = [];
  #sameTop = 0;

  get rows(): number {
    return this.#kl.length;
  }

  add({ kl, sameTop, referenceNll, otherNll }: RowComparison): void {
    this.#kl.push(kl);
    this.#change.push(Math.exp(-otherNll) - Math.exp(-referenceNll));
    this.#reference.push(referenceNll);
    this.#other.push(otherNll);
    if (sameTop) this.#sameTop++;
  }

  /** At least one row. */
  statistics(): QualityStatistics {
    const kl = Float64Array.from(this.#kl).sort();
    const mean = estimateMean(this.#kl);
    const sameTop1 = this.#sameTop / kl.length;
    const { ratio, error, perplexity } = this.#perplexity();
    return {
      rows: kl.length,
      meanKl: mean.value,
      meanKlError: mean.error,
      medianKl: percentile(kl, 0.5),
      p95Kl: percentile(kl, 0.95),
      p99Kl: percentile(kl, 0.99),
      p999Kl: percentile(kl, 0.999),
      maxKl: percentile(kl, 1),
      sameTop1,
      sameTop1Error: Math.sqrt((sameTop1 * (1 - sameTop1)) / Math.max(1, kl.length - 1)),
      probabilityChange: describeChange(this.#change),
      perplexity,
      perplexityRatio: ratio,
      perplexityRatioError: error,
      klHistogram: histogram(kl),
    };
  }

  /** The difference of two means over the same rows: what both have in common cancels in its error. */
  #perplexity(): { ratio: number; error: number; perplexity: [number, number] } {
    const difference = estimateMean(this.#other.map((nll, i) => nll - this.#reference[i]!));
    const ratio = Math.exp(difference.value);
    const perplexity = (nlls: number[]) => Math.exp(estimateMean(nlls).value);
    return {
      ratio,
      error: ratio * difference.error,
      perplexity: [perplexity(this.#reference), perplexity(this.#other)],
    };
  }
}

/** Mean of `values` with its standard error, sqrt(population variance / (n - 1)); 0 for a single value. */
export function estimateMean(values: readonly number[]): Estimate {
  const n = values.length;
  const value = values.reduce((sum, x) => sum + x, 0) / n;
  const variance = values.reduce((sum, x) => sum + (x - value) ** 2, 0) / n;
  return { value, error: n > 1 ? Math.sqrt(variance / (n - 1)) : 0 };
}

/**
 * @param sorted ascending, at least one value.
 * @param fraction from 0 to 1: the value at index fraction * (n - 1), in proportion between its neighbours.
 */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  const place = fraction * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below]!;
  const part = place - below;
  return part === 0 ? low : low + part * (sorted[below + 1]! - low);
}

function describeChange(changes: readonly number[]): ProbabilityChange {
  const sorted = Float64Array.from(changes).sort();
  const at = (fraction: number) => percentile(sorted, fraction);
  return {
    mean: estimateMean(changes).value,
    rms: Math.sqrt(changes.reduce((sum, x) => sum + x * x, 0) / changes.length),
    min: at(0),
    p1: at(0.01),
    p5: at(0.05),
    p25: at(0.25),
    median: at(0.5),
    p75: at(0.75),
    p95: at(0.95),
    p99: at(0.99),
    max: at(1),
  };
}

const binsPerDecade = 10;
/** Smaller ones are rounding: they share the first bin. */
const leastKl = 1e-6;

function histogram(sorted: Float64Array): HistogramBin[] {
  const largest = sorted[sorted.length - 1]!;
  const steps = Math.max(1, Math.ceil(binsPerDecade * Math.log10(Math.max(largest, leastKl) / leastKl)));
  const edge = (step: number) => leastKl * 10 ** (step / binsPerDecade);
  const bins = Array.from({ length: steps + 1 }, (_, i) => ({
    from: i === 0 ? 0 : edge(i - 1),
    to: edge(i),
    count: 0,
  }));
  let bin = 0;
  for (const kl of sorted) {
    while (bin < steps && kl >= bins[bin]!.to) bin++;
    bins[bin]!.count++;
  }
  return bins;
}
