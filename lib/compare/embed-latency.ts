/**
 * Speed of a model that gives vectors: one text at a time, of several lengths, both modes in turns (ABBA) until the intervals
 * are narrow or the time is up. Before each sample runs a text of one word that is not timed, as in latency.ts.
 */
import { KvasirError } from '../errors.js';
import { Random } from '../generation/random.js';
import type { Model } from '../model.js';
import { isEnough } from './latency.js';
import { describeQuads, type MeasuredSpeedup } from './latency-report.js';
import type { ModelPair, Side } from './model-pair.js';
import { median, type Quad, quantile, turnOrder } from './speedup.js';

/** One mode at one length. */
export interface EmbedRun {
  mode: string;
  /** With those that the tokenizer adds. */
  textTokens: number;
  /** From the text to its vector, the median. */
  ms: number;
  tokensPerSecond: number;
  /** 95 of 100 samples are at most so long. */
  p95: { ms: number };
  samples: { ms: number[] };
}

/** How much faster b is at one length. */
export interface EmbedSpeedup extends MeasuredSpeedup {
  textTokens: number;
}

export interface EmbedSpeed {
  runs: EmbedRun[];
  speedupByLength: EmbedSpeedup[];
}

const LEAST_QUADS = 3;

interface Series {
  text: string;
  textTokens: number;
  /** ms */
  quads: Record<Side, number[]>[];
  spentMs: number;
  /** The interval is narrow, or there are samples enough: no more are taken. */
  done: boolean;
}

export interface EmbedLatencySettings {
  text: string;
  /** Ascending. */
  lengths: readonly number[];
  seconds: number;
  signal: AbortSignal;
  /** `done` of 1, and how long it may still take. */
  onProgress(done: number, secondsLeft: number): void;
}

/** The beginning of a text that has about so many tokens, and how many it has. Undefined: the model takes no text so long. */
async function textOf(
  model: Model,
  length: number,
  { text, signal }: EmbedLatencySettings,
): Promise<Pick<Series, 'text' | 'textTokens'> | undefined> {
  const { offsets } = await model.tokenizer.encodeWithOffsets(text.slice(0, 64 * length), { signal });
  const ends = Array.from({ length: offsets.length / 2 }, (_, i) => offsets[2 * i + 1]!).filter(
    (end) => end > 0,
  );
  const added = offsets.length / 2 - ends.length;
  const beginning = text.slice(0, ends[Math.min(ends.length, Math.max(1, length - added)) - 1]);
  try {
    return { text: beginning, textTokens: (await model.embed(beginning, { signal })).tokens };
  } catch (error) {
    if (error instanceof KvasirError && error.code === 'CONTEXT_OVERFLOW') return undefined;
    throw error;
  }
}

async function sample(model: Model, text: string, signal: AbortSignal): Promise<number> {
  await model.embed('a', { signal });
  const started = performance.now();
  await model.embed(text, { signal });
  return performance.now() - started;
}

/** Fills `into` as it goes, so that an interrupted run keeps what it has. Throws the signal's reason. */
export async function measureEmbedding(
  pair: ModelPair,
  settings: EmbedLatencySettings,
  into: Series[],
): Promise<void> {
  const { lengths, seconds, signal, onProgress } = settings;
  const first = await pair.use('a');
  for (const length of lengths) {
    const found = await textOf(first, length, settings);
    if (found && into.every(({ textTokens }) => textTokens !== found.textTokens))
      into.push({ ...found, quads: [], spentMs: 0, done: false });
  }
  if (!pair.bothFit) return measureApart(pair, into, signal);
  const random = new Random(1);
  for (;;) {
    const next = nextOf(into, seconds);
    if (next === undefined) return;
    const started = performance.now();
    const quad: Record<Side, number[]> = { a: [], b: [] };
    for (const side of turnOrder(random))
      quad[side].push(await sample(await pair.use(side), next.text, signal));
    next.quads.push(quad);
    next.done = isEnough(next.quads.map(speeds));
    next.spentMs += performance.now() - started;
    const spent = into.reduce((sum, { spentMs }) => sum + spentMs, 0);
    const left = Math.max(0, 1000 * seconds - spent);
    onProgress(spent / (spent + left), left / 1000);
  }
}

/** Where only one model fits: all of a, then all of b. */
async function measureApart(pair: ModelPair, into: readonly Series[], signal: AbortSignal): Promise<void> {
  for (const side of ['a', 'b'] as const) {
    const model = await pair.use(side);
    for (const { text, quads } of into) {
      for (let i = 0; i < 2 * LEAST_QUADS; i++) {
        quads[i >> 1] ??= { a: [], b: [] };
        quads[i >> 1]![side].push(await sample(model, text, signal));
      }
    }
  }
}

/** What has least time of those that lack quads, or else are not narrow yet while there is time. */
function nextOf(all: readonly Series[], seconds: number): Series | undefined {
  const least = (some: readonly Series[]) => [...some].sort((x, y) => x.spentMs - y.spentMs)[0];
  const lacking = all.filter(({ quads }) => quads.length < LEAST_QUADS);
  if (lacking.length > 0) return least(lacking);
  if (all.reduce((sum, { spentMs }) => sum + spentMs, 0) >= 1000 * seconds) return undefined;
  return least(all.filter(({ done }) => !done));
}

const speeds = ({ a, b }: Record<Side, number[]>): Quad => ({
  a: a.map((ms) => 1 / ms),
  b: b.map((ms) => 1 / ms),
});

/** Of what was measured on both sides. */
export function describeEmbedding(all: readonly Series[], modes: readonly [string, string]): EmbedSpeed {
  const measured = all
    .map((series) => ({ ...series, quads: series.quads.filter(({ a, b }) => a.length > 0 && b.length > 0) }))
    .filter(({ quads }) => quads.length > 0);
  const run = ({ textTokens, quads }: Series, side: Side, mode: string): EmbedRun => {
    const ms = quads.flatMap((quad) => quad[side]);
    const middle = median(ms);
    return {
      mode,
      textTokens,
      ms: middle,
      tokensPerSecond: (1000 * textTokens) / middle,
      p95: { ms: quantile(ms, 0.95) },
      samples: { ms },
    };
  };
  return {
    runs: measured.flatMap((series) => [run(series, 'a', modes[0]), run(series, 'b', modes[1])]),
    speedupByLength: measured.map(({ textTokens, quads }) => ({
      textTokens,
      ...describeQuads(quads.map(speeds)),
    })),
  };
}

export type { Series as EmbedSeries };
