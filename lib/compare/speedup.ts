/**
 * How much faster one of two runs is, from samples that were taken in turns: the ratio of medians, and an interval for
 * it by the bootstrap (Efron and Tibshirani 1993). Knows neither models nor clocks.
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

/** Speeds of both sides, taken close together: a drift of the machine is the same for all of them. */
export interface Block {
  a: number[];
  b: number[];
}

const resamples = 1000;

/**
 * The ratio of the medians of b and a, each sample relative to its block, so that a machine that gets slower or faster
 * does not blur them; and its interval. Blocks are drawn, and samples within them. Percentiles of few blocks give
 * intervals that are too narrow; they are widened to those that Student's t gives for a mean of as many (Hesterberg
 * 2015, "expanded percentiles"). Deterministic.
 * @param blocks at least one, each with at least one sample above 0 of either side.
 */
export function estimateSpeedup(blocks: readonly Block[], seed = 1): Speedup {
  const random = new Random(seed);
  const below = (count: number) => Math.floor(random.uniform() * count);
  const redraw = (values: readonly number[]) => values.map(() => values[below(values.length)]!);
  const relative = blocks.map(relativeToItself);
  const ratios = new Float64Array(resamples);
  for (let i = 0; i < resamples; i++) {
    const drawn = relative.map(() => relative[below(relative.length)]!);
    ratios[i] = ratioOfMedians(drawn.map(({ a, b }) => ({ a: redraw(a), b: redraw(b) })));
  }
  ratios.sort();
  const tail = expandedTail(blocks.length);
  const [low, high] = [percentile(ratios, tail), percentile(ratios, 1 - tail)];
  return { ratio: ratioOfMedians(relative), low, high, significant: low > 1 || high < 1 };
}

/**
 * Every sample over the block's own level, in which both sides weigh alike. The best of each side tell it: what disturbs
 * a machine for a moment only slows it down.
 */
function relativeToItself({ a, b }: Block): Block {
  const level = Math.sqrt(Math.max(...a) * Math.max(...b));
  return { a: a.map((sample) => sample / level), b: b.map((sample) => sample / level) };
}

function ratioOfMedians(blocks: readonly Block[]): number {
  return median(blocks.flatMap(({ b }) => b)) / median(blocks.flatMap(({ a }) => a));
}

export function median(values: readonly number[]): number {
  return percentile(
    [...values].sort((x, y) => x - y),
    0.5,
  );
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

/** Probability below the normal quantile -sqrt(n / (n - 1)) t(n - 1), for n blocks. */
function expandedTail(n: number): number {
  if (n === 1) return 0;
  const t = studentT[n - 2] ?? 1.96 + 2.4 / (n - 1);
  return normalTail(Math.sqrt(n / (n - 1)) * t);
}

/** P(X > x) of the standard normal distribution, x >= 0 (Abramowitz and Stegun 26.2.17, error below 7.5e-8). */
function normalTail(x: number): number {
  const t = 1 / (1 + 0.2316419 * x);
  const series = [0.31938153, -0.356563782, 1.781477937, -1.821255978, 1.330274429];
  const sum = series.reduceRight((total, factor) => (total + factor) * t, 0);
  return (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * sum;
}

/** The sides of one block of repetitions, in the order ABBA or BAAB: a steady drift weighs on both alike. */
export function turnOrder(block: number): readonly ('a' | 'b')[] {
  return block % 2 === 0 ? ['a', 'b', 'b', 'a'] : ['b', 'a', 'a', 'b'];
}
