/**
 * Speed: both models through the public engine, in turns (ABBA), at several lengths of the prompt. Prompts are seeded
 * random ids, the same for both; sampling is part of the time, as `kvasir bench` has it.
 */
import { Random } from '../generation/random.js';
import { type Model, startGeneration } from '../model.js';
import type { GenerateOptions } from '../options.js';
import type { ModelPair, Side } from './model-pair.js';
import { percentile } from './quality-statistics.js';
import { type Block, estimateSpeedup, median, type Speedup, spread, turnOrder } from './speedup.js';

export const PROMPT_LENGTHS: readonly number[] = [16, 128, 512, 2048];
export const DECODE_TOKENS = 32;

export const METRICS = ['ttft', 'prefill', 'decode'] as const;
export type Metric = (typeof METRICS)[number];

/** `ttft` in ms, the others in tokens per second. */
export type LatencySample = Record<Metric, number>;

export interface LatencyPlan {
  /** Ascending. */
  promptLengths: readonly number[];
  /** Decoded after each prompt and timed, after the first token. */
  decodeTokens: number;
  /** Aimed at for all repetitions together; each length is given an equal part. */
  seconds: number;
  signal: AbortSignal;
  /** `done` of 1, and how long it may still take. */
  onProgress(done: number, secondsLeft: number): void;
}

/** All samples at one length of the prompt. */
export interface Series {
  promptTokens: number;
  blocks: Record<Side, LatencySample[]>[];
}

/** Fewer blocks say nothing about the spread; more say little new. */
const LEAST_BLOCKS = 3;
const MOST_BLOCKS = 12;

const sampling: GenerateOptions = { temperature: 0.8, topK: 40, topP: 0.95, seed: 1, ignoreEos: true };

/** One generation of `decodeTokens` beyond the first token. Throws the signal's reason. */
export async function timeGeneration(
  model: Model,
  prompt: Int32Array,
  decodeTokens: number,
  signal: AbortSignal,
): Promise<LatencySample> {
  const options = { ...sampling, maxTokens: decodeTokens + 1, signal };
  const { timings } = await startGeneration(model, prompt, options, { cache: { reuse: false } });
  signal.throwIfAborted();
  return {
    ttft: timings.ttftMs,
    prefill: timings.prefillTokensPerSecond,
    decode: timings.decodeTokensPerSecond,
  };
}

/** Fills `into` block by block, the lengths in turns, so that an interrupted run keeps what it has. */
export async function measureLatency(pair: ModelPair, plan: LatencyPlan, into: Series[]): Promise<void> {
  const { promptLengths, decodeTokens, signal } = plan;
  const random = new Random(1);
  const { vocabSize } = (await pair.use('a')).info;
  const sample = async (side: Side, prompt: Int32Array) =>
    timeGeneration(await pair.use(side), prompt, decodeTokens, signal);
  const promptOf = (length: number) =>
    Int32Array.from({ length }, () => Math.floor(random.uniform() * vocabSize));
  const budget = new Budget(promptLengths, plan);
  if (!pair.bothFit) return measureApart(pair, { promptLengths, promptOf, sample, budget }, into);
  for (const length of promptLengths) {
    const started = performance.now();
    for (const side of ['a', 'b'] as const) await sample(side, promptOf(length));
    budget.warmedUp(length, performance.now() - started);
  }
  for (let round = 0; round < MOST_BLOCKS; round++) {
    for (const promptTokens of promptLengths) {
      if (!budget.wants(promptTokens, round)) continue;
      const prompt = promptOf(promptTokens);
      const started = performance.now();
      const block: Record<Side, LatencySample[]> = { a: [], b: [] };
      for (const side of turnOrder(round)) block[side].push(await sample(side, prompt));
      budget.spent(promptTokens, performance.now() - started);
      add(into, promptTokens, block);
    }
  }
}

interface Apart {
  promptLengths: readonly number[];
  promptOf(length: number): Int32Array;
  sample(side: Side, prompt: Int32Array): Promise<LatencySample>;
  budget: Budget;
}

/** Where only one model fits: all of a, then all of b. A drift of the machine is then not cancelled. */
async function measureApart(pair: ModelPair, apart: Apart, into: Series[]): Promise<void> {
  const { promptLengths, promptOf, sample, budget } = apart;
  const prompts = promptLengths.map((length) => ({ length, prompt: promptOf(length) }));
  const taken: Record<Side, Map<number, LatencySample[]>> = { a: new Map(), b: new Map() };
  for (const side of ['a', 'b'] as const) {
    await pair.use(side);
    for (const { length, prompt } of prompts) {
      await sample(side, prompt);
      const started = performance.now();
      const samples: LatencySample[] = [];
      for (let i = 0; i < 2 * LEAST_BLOCKS; i++) samples.push(await sample(side, prompt));
      taken[side].set(length, samples);
      budget.spent(length, performance.now() - started);
    }
  }
  for (const length of promptLengths) {
    const [a, b] = [taken.a.get(length)!, taken.b.get(length)!];
    for (let i = 0; i < a.length; i += 2) {
      add(into, length, { a: a.slice(i, i + 2), b: b.slice(i, i + 2) });
    }
  }
}

function add(into: Series[], promptTokens: number, block: Record<Side, LatencySample[]>): void {
  const series = into.find((one) => one.promptTokens === promptTokens);
  if (series) series.blocks.push(block);
  else into.push({ promptTokens, blocks: [block] });
}

/** How many blocks each length gets, by what they cost. */
class Budget {
  readonly #share: number;
  readonly #plan: LatencyPlan;
  readonly #costs = new Map<number, number>();
  #spentMs = 0;

  constructor(lengths: readonly number[], plan: LatencyPlan) {
    this.#share = (1000 * plan.seconds) / lengths.length;
    this.#plan = plan;
  }

  /** One sample of either side took so long. */
  warmedUp(length: number, ms: number): void {
    this.#costs.set(length, 2 * ms);
    this.#spentMs += ms;
    this.#report();
  }

  spent(length: number, ms: number): void {
    this.#costs.set(length, ms);
    this.#spentMs += ms;
    this.#report();
  }

  wants(length: number, round: number): boolean {
    return round < this.#blocks(length);
  }

  #blocks(length: number): number {
    const affordable = Math.floor(this.#share / (this.#costs.get(length) ?? this.#share));
    return Math.min(MOST_BLOCKS, Math.max(LEAST_BLOCKS, affordable));
  }

  #report(): void {
    let total = 0;
    for (const [length, ms] of this.#costs) total += this.#blocks(length) * ms;
    const left = Math.max(0, total - this.#spentMs);
    this.#plan.onProgress(this.#spentMs / Math.max(1, this.#spentMs + left), left / 1000);
  }
}

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
  /** 95 of 100 generations are at least as good. */
  p95: { ttftMs: number; prefill: number; decode: number };
  samples: { ttftMs: number[]; prefill: number[]; decode: number[] };
}

/** How much faster b is at one length. */
export interface LengthSpeedup {
  promptTokens: number;
  ttft: Speedup;
  prefill: Speedup;
  decode: Speedup;
}

const samplesOf = ({ blocks }: Series, side: Side, metric: Metric): number[] =>
  blocks.flatMap((block) => block[side].map((sample) => sample[metric]));

export function describeRun(series: Series, side: Side, mode: string): LatencyRun {
  const samples = {
    ttftMs: samplesOf(series, side, 'ttft'),
    prefill: samplesOf(series, side, 'prefill'),
    decode: samplesOf(series, side, 'decode'),
  };
  const at = (values: readonly number[], fraction: number) =>
    percentile(
      [...values].sort((x, y) => x - y),
      fraction,
    );
  return {
    mode,
    promptTokens: series.promptTokens,
    depth: series.promptTokens,
    ttftMs: median(samples.ttftMs),
    prefill: median(samples.prefill),
    decode: median(samples.decode),
    p95: {
      ttftMs: at(samples.ttftMs, 0.95),
      prefill: at(samples.prefill, 0.05),
      decode: at(samples.decode, 0.05),
    },
    samples,
  };
}

export function describeSpeedup(series: Series): LengthSpeedup {
  const blocks = (speedOf: (sample: LatencySample) => number): Block[] =>
    series.blocks.map(({ a, b }) => ({ a: a.map(speedOf), b: b.map(speedOf) }));
  return {
    promptTokens: series.promptTokens,
    ttft: estimateSpeedup(blocks(({ ttft }) => 1 / ttft)),
    prefill: estimateSpeedup(blocks(({ prefill }) => prefill)),
    decode: estimateSpeedup(blocks(({ decode }) => decode)),
  };
}

/** The largest spread of any side, length and speed: quartile distance over median. */
export function largestSpread(all: readonly Series[]): number {
  const spreads = all.flatMap((series) =>
    (['a', 'b'] as const).flatMap((side) =>
      (['prefill', 'decode'] as const).map((metric) => spread(samplesOf(series, side, metric))),
    ),
  );
  return Math.max(0, ...spreads);
}
