/** What the samples of a speed measurement say. */
import { INTERVAL_AIM, isNarrow, prefillQuads, type Series } from './latency.js';
import type { Side } from './model-pair.js';
import { estimateSpeedup, median, type Quad, quantile, type Speedup, spread } from './speedup.js';

/** One mode at one length. Times in ms, speeds in tokens per second. */
export interface LatencyRun {
  mode: string;
  promptTokens: number;
  /** Tokens in the context when decoding begins. */
  depth: number;
  /** Medians. */
  ttftMs: number;
  prefill: number;
  decode: number;
  /** 95 of 100 samples are at least as good. */
  p95: { ttftMs: number; prefill: number; decode: number };
  /** One for each prompt, and for each slice of some tokens that was decoded. */
  samples: { ttftMs: number[]; prefill: number[]; decode: number[] };
}

export interface MeasuredSpeedup extends Speedup {
  /** Groups of four samples (ABBA) behind it. */
  quads: number;
  /** 'aim': the interval is as narrow as was aimed at. 'limit': time or samples ran out before. */
  endedBy: 'aim' | 'limit';
}

/** How much faster b is at one length. */
export interface LengthSpeedup {
  promptTokens: number;
  ttft: MeasuredSpeedup;
  prefill: MeasuredSpeedup;
  decode: MeasuredSpeedup;
}

/** Whether there is anything to say: an interrupted run may have no decoded slice. */
export function isMeasured({ prefill, decode }: Series): boolean {
  return prefill.length > 0 && decode.length > 0;
}

export function describeRun(series: Series, side: Side, mode: string): LatencyRun {
  const prompts = series.prefill.flatMap((quad) => quad[side]);
  const samples = {
    ttftMs: prompts.map(({ ttft }) => ttft),
    prefill: prompts.map(({ prefill }) => prefill),
    decode: series.decode.flatMap((quad) => quad[side]),
  };
  return {
    mode,
    promptTokens: series.promptTokens,
    depth: series.promptTokens,
    ttftMs: median(samples.ttftMs),
    prefill: median(samples.prefill),
    decode: median(samples.decode),
    p95: {
      ttftMs: quantile(samples.ttftMs, 0.95),
      prefill: quantile(samples.prefill, 0.05),
      decode: quantile(samples.decode, 0.05),
    },
    samples,
  };
}

export function describeSpeedup(series: Series): LengthSpeedup {
  const perMs = series.prefill.map(({ a, b }) => ({
    a: a.map(({ ttft }) => 1 / ttft),
    b: b.map(({ ttft }) => 1 / ttft),
  }));
  return {
    promptTokens: series.promptTokens,
    ttft: describeQuads(perMs),
    prefill: describeQuads(prefillQuads(series)),
    decode: describeQuads(series.decode),
  };
}

export function describeQuads(quads: readonly Quad[]): MeasuredSpeedup {
  const speedup = estimateSpeedup(quads);
  return { ...speedup, quads: quads.length, endedBy: isNarrow(speedup) ? 'aim' : 'limit' };
}

/** One sentence on the intervals that are wider than was aimed at; undefined where there are none. */
export function unmetAim(all: readonly LengthSpeedup[]): string | undefined {
  const wide = all.flatMap((length) =>
    (['prefill', 'decode'] as const)
      .filter((metric) => length[metric].endedBy === 'limit')
      .map((metric) => `${metric} at ${length.promptTokens}`),
  );
  if (wide.length === 0) return undefined;
  const aim = `${(100 * INTERVAL_AIM).toFixed(0)} %`;
  return `Intervals wider than ${aim} to either side when the time or the samples were used up: ${wide.join(', ')}.`;
}

/** The largest spread of any side, length and speed: quartile distance over median. */
export function largestSpread(all: readonly Series[]): number {
  const spreads = all.flatMap((series) =>
    (['a', 'b'] as const).flatMap((side) => {
      const { samples } = describeRun(series, side, '');
      return [spread(samples.prefill), spread(samples.decode)];
    }),
  );
  return Math.max(0, ...spreads);
}
