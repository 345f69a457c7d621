/**
 * How much faster one of two runs is, from samples that were taken in turns: a trimmed mean of paired log ratios, and an
 * interval for it by a block bootstrap. Knows neither models nor clocks.
 */
import { Random } from '../generation/random.js';
import { percentile } from './quality-statistics.js';

/** Above 1: the second of the two is better. */
export interface Speedup {
  ratio: number;
  /** 95 % interval. */
  low: number;
  high: number;
  /** The interval does not hold 1. */
  significant: boolean;
}

/** Speeds of both sides, taken next to each other in the order ABBA or BAAB: what drifts weighs on both alike. */
export interface Quad {
  a: readonly number[];
  b: readonly number[];
}

const RESAMPLES = 1000;
/** Left out at either end. At a fifth a mean is nearly as exact as without, and hardly moved by what disturbs it. */
const TRIM = 0.2;
/** Of fewer quads than this none can be spared. */
const TRIMMED_FROM = 8;
/** With fewer quads than this each counts for itself: they cannot tell whether neighbours resemble each other. */
const CORRELATED_FROM = 16;

/**
 * The typical ratio of b to a: each quad gives one log ratio of geometric means, in which a steady drift of the machine
 * cancels (as in duet benchmarking, Bulej et al. 2020, but one after the other, for both want all cores); of these the
 * mean without the lowest and highest fifth where there are eight or more (Tukey and McLaughlin 1963).
 * The interval is Student's t times the standard error by a circular block bootstrap over the quads in the order of time
 * (Efron and Tibshirani 1993, ch. 12; Politis and Romano 1992), with blocks that grow as n^(1/3) (Hall, Horowitz and
 * Jing 1995), for a disturbance may outlast a quad. The degrees of freedom are those of the values that are not trimmed
 * (Tukey and McLaughlin), over 2/3 of a block (the variance of overlapping blocks: Kuensch 1989). Deterministic.
 * @param quads at least one, with speeds above 0, as many of a as of b.
 */
export function estimateSpeedup(quads: readonly Quad[], seed = 1): Speedup {
  const logs = quads.length > 1 ? quads.map(logRatio) : pairRatios(quads[0]!);
  const count = logs.length;
  const block = count < CORRELATED_FROM ? 1 : Math.round(Math.cbrt(count));
  const error = bootstrapError(logs, block, new Random(seed));
  // A resample of n independent values has a spread that is too small by this.
  const blocks = count / block;
  const reach = error * Math.sqrt(blocks / Math.max(1, blocks - 1)) * quantileOfT(freedom(count, block));
  const middle = trimmedMean(Float64Array.from(logs).sort());
  const [low, high] = [Math.exp(middle - reach), Math.exp(middle + reach)];
  return { ratio: Math.exp(middle), low, high, significant: low > 1 || high < 1 };
}

/** Of the trimmed mean of values that follow each other in time. */
function bootstrapError(logs: readonly number[], block: number, random: Random): number {
  const count = logs.length;
  const drawn = new Float64Array(count);
  let [sum, squares] = [0, 0];
  const middle = logs[0] ?? 0;
  for (let i = 0; i < RESAMPLES; i++) {
    for (let at = 0; at < count; ) {
      const from = Math.floor(random.uniform() * count);
      for (let j = 0; j < block && at < count; j++) drawn[at++] = logs[(from + j) % count]!;
    }
    const mean = trimmedMean(drawn.sort()) - middle;
    sum += mean;
    squares += mean * mean;
  }
  return Math.sqrt(Math.max(0, squares / RESAMPLES - (sum / RESAMPLES) ** 2));
}

function freedom(count: number, block: number): number {
  const kept = count - 2 * cutOf(count);
  return Math.max(1, Math.floor((block === 1 ? kept : (1.5 * kept) / block) - 1));
}

/** How far an interval reaches to either side, relative to its middle. */
export function halfWidth({ low, high }: Speedup): number {
  return Math.sqrt(high / low) - 1;
}

function logRatio({ a, b }: Quad): number {
  return meanLog(b) - meanLog(a);
}

/** All that one quad alone can tell. */
function pairRatios({ a, b }: Quad): number[] {
  return b.map((speed, i) => Math.log(speed / a[i]!));
}

function meanLog(speeds: readonly number[]): number {
  return speeds.reduce((sum, speed) => sum + Math.log(speed), 0) / speeds.length;
}

const cutOf = (count: number): number => (count < TRIMMED_FROM ? 0 : Math.floor(TRIM * count));

function trimmedMean(sorted: Float64Array): number {
  const cut = cutOf(sorted.length);
  let sum = 0;
  for (let i = cut; i < sorted.length - cut; i++) sum += sorted[i]!;
  return sum / (sorted.length - 2 * cut);
}

/** @param values at least one, in any order. */
export function quantile(values: readonly number[], fraction: number): number {
  return percentile(
    [...values].sort((x, y) => x - y),
    fraction,
  );
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/**
 * How far samples lie apart: the distance of the quartiles over the median.
 * @param values at least one.
 */
export function spread(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  return (percentile(sorted, 0.75) - percentile(sorted, 0.25)) / percentile(sorted, 0.5);
}

/** 97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom. */
const studentT = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

function quantileOfT(freedom: number): number {
  return studentT[freedom - 1] ?? 1.96 + 2.4 / freedom;
}

/**
 * The sides of one quad, in the order ABBA or BAAB: a steady drift weighs on both alike. By chance, for something that
 * comes back at regular times must not meet the same side again and again.
 */
export function turnOrder(random: Random): readonly ('a' | 'b')[] {
  return random.uniform() < 0.5 ? ['a', 'b', 'b', 'a'] : ['b', 'a', 'a', 'b'];
}
