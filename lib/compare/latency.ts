/**
 * Speed: how the time is spent. Both models take turns in quads (ABBA), prefill by whole prompts, decode in slices of
 * tens of milliseconds, at several lengths of the prompt, until the intervals are narrow or the time is up. Prompts are
 * seeded random ids, the same for both.
 */
import { Random } from '../generation/random.js';
import type { ModelPair, Side } from './model-pair.js';
import { type PrefillSample, SpeedProbe } from './speed-probe.js';
import { estimateSpeedup, halfWidth, type Quad, type Speedup, turnOrder } from './speedup.js';

export const PROMPT_LENGTHS: readonly number[] = [16, 128, 512, 2048];
export const DECODE_TOKENS = 32;
/** An interval that reaches no farther to either side, relative to the ratio, is narrow enough. */
export const INTERVAL_AIM = 0.02;

/** A decoded slice of the faster side takes about so long, but has this many tokens at least. */
const SLICE_MS = 40;
const LEAST_SLICE_TOKENS = 4;
/** Fewer say nothing about the spread. */
const LEAST_QUADS: Record<Metric, number> = { prefill: 3, decode: 6 };
/** Before an interval is believed to be narrow: what is narrow by chance must not end the measurement. */
const ENOUGH_QUADS = 6;
/** More than this many would make an interval narrow only where the machine is hopelessly noisy. */
const MOST_QUADS = 100;
/** A length and metric has its turn so long, or for one quad; then another one is due. */
const TURN_MS = 1000;

const metrics = ['prefill', 'decode'] as const;
export type Metric = (typeof metrics)[number];

export interface LatencySettings {
  /** Ascending. */
  promptLengths: readonly number[];
  /** Most that are decoded after a prompt. */
  decodeTokens: number;
  /** When these are over, only what is still missing of `LEAST_QUADS` is measured. */
  seconds: number;
  signal: AbortSignal;
  /** `done` of 1, and how long it may still take. */
  onProgress(done: number, secondsLeft: number): void;
}

type Pairs<T> = Record<Side, T[]>;

/** All samples at one length of the prompt: of each side two in every quad. Either may be empty at first. */
export interface Series {
  promptTokens: number;
  prefill: Pairs<PrefillSample>[];
  /** Tokens per second. */
  decode: Pairs<number>[];
}

export function prefillQuads({ prefill }: Series): Quad[] {
  return prefill.map(({ a, b }) => ({ a: a.map((one) => one.prefill), b: b.map((one) => one.prefill) }));
}

/** Whether no more is measured for this interval's sake. */
export const isNarrow = (speedup: Speedup): boolean => halfWidth(speedup) <= INTERVAL_AIM;

/** Whether no more quads are taken: the interval is narrow, or there are samples enough. */
export const isEnough = (quads: readonly Quad[]): boolean =>
  quads.length >= MOST_QUADS || (quads.length >= ENOUGH_QUADS && isNarrow(estimateSpeedup(quads)));

/** Prefill of prompts of so many tokens stands for all lengths, or of the longest that is shorter. */
const HEADLINE_PROMPT = 512;

/** The lengths that stand for all. @param lengths ascending, at least one. */
export function headlineLengths(lengths: readonly number[]): Record<Metric, number> {
  const [shortest] = lengths as [number];
  return {
    prefill: lengths.filter((length) => length <= HEADLINE_PROMPT).at(-1) ?? shortest,
    decode: shortest,
  };
}

/**
 * Fills `into` quad by quad, so that an interrupted run keeps what it has. First a few quads of everything; then the
 * lengths that stand for all, until their intervals are narrow; then the others.
 */
export async function measureLatency(
  pair: ModelPair,
  settings: LatencySettings,
  into: Series[],
): Promise<void> {
  const random = new Random(1);
  const { vocabSize } = (await pair.use('a')).info;
  const promptOf = (length: number) =>
    Int32Array.from({ length }, () => Math.floor(random.uniform() * vocabSize));
  const means = { random, promptOf, decodeTokens: settings.decodeTokens };
  const courses = settings.promptLengths.map(
    (length) => new Course(length, { ...means, probe: new SpeedProbe(pair, settings.signal) }),
  );
  const report = () => reportProgress(courses, settings);
  if (!pair.bothFit) return measureApart(courses, into, report);
  for (const course of courses) {
    await course.warmUp(['a', 'b']);
    report();
  }
  for (;;) {
    const next = nextTurn(courses, settings);
    if (next === undefined) return;
    const { course, metric } = next;
    if (!into.includes(course.series)) into.push(course.series);
    await course.turn(metric, report);
  }
}

/** Where only one model fits: all of a, then all of b. A drift of the machine is then not cancelled. */
async function measureApart(courses: readonly Course[], into: Series[], report: () => void): Promise<void> {
  for (const side of ['a', 'b'] as const) {
    for (const course of courses) {
      await course.warmUp([side]);
      await course.takeAlone(side);
      report();
    }
  }
  for (const { series } of courses) into.push(series);
}

interface Turn {
  course: Course;
  metric: Metric;
}

/** Of those that come first, the one that had least time. */
function nextTurn(courses: readonly Course[], { promptLengths, seconds }: LatencySettings): Turn | undefined {
  const turns = courses.flatMap((course): Turn[] => metrics.map((metric) => ({ course, metric })));
  const spent = ({ course, metric }: Turn) => course.spentMs[metric];
  const least = (some: Turn[]) => some.sort((x, y) => spent(x) - spent(y))[0];
  const lacking = turns.filter(({ course, metric }) => course.lacking(metric) > 0);
  if (lacking.length > 0) return least(lacking);
  if (turns.reduce((sum, turn) => sum + spent(turn), 0) >= 1000 * seconds) return undefined;
  const open = turns.filter(({ course, metric }) => !course.done[metric]);
  const headline = headlineLengths(promptLengths);
  const first = open.filter(({ course, metric }) => course.series.promptTokens === headline[metric]);
  return least(first) ?? least(open);
}

function reportProgress(courses: readonly Course[], { seconds, onProgress }: LatencySettings): void {
  const sum = (of: (course: Course, metric: Metric) => number) =>
    courses.reduce((all, course) => all + metrics.reduce((some, metric) => some + of(course, metric), 0), 0);
  const spent = sum((course, metric) => course.spentMs[metric]);
  const least = sum((course, metric) => course.lacking(metric) * course.costs[metric]);
  const open = sum((course, metric) => (course.done[metric] ? 0 : 1));
  const left = Math.max(least, open === 0 ? 0 : 1000 * seconds - spent);
  onProgress(spent / Math.max(1, spent + left), left / 1000);
}

interface Means {
  probe: SpeedProbe;
  random: Random;
  promptOf(length: number): Int32Array;
  decodeTokens: number;
}

/** The measurement at one length. */
class Course {
  readonly series: Series;
  readonly spentMs: Record<Metric, number> = { prefill: 0, decode: 0 };
  /** ms a quad. */
  readonly costs: Record<Metric, number> = { prefill: 0, decode: 0 };
  /** The interval is narrow, or there are samples enough: no more are taken. */
  readonly done: Record<Metric, boolean> = { prefill: false, decode: false };
  readonly #means: Means;
  /** The latest. */
  #prompt: Int32Array;
  /** Tokens per second of the faster side. */
  #speed = 0;

  constructor(promptTokens: number, means: Means) {
    this.series = { promptTokens, prefill: [], decode: [] };
    this.#means = means;
    this.#prompt = means.promptOf(promptTokens);
  }

  /** Quads that there must be, but are not yet there. */
  lacking(metric: Metric): number {
    return Math.max(0, LEAST_QUADS[metric] - this.series[metric].length);
  }

  get #sliceTokens(): number {
    const fitting = Math.ceil((SLICE_MS * this.#speed) / 1000);
    return Math.min(this.#means.decodeTokens, Math.max(LEAST_SLICE_TOKENS, fitting));
  }

  /** Also tells about what a quad costs. */
  async warmUp(sides: readonly Side[]): Promise<void> {
    const { probe, decodeTokens } = this.#means;
    for (const side of sides) {
      const started = performance.now();
      await probe.prefill(side, this.#prompt);
      const prefilled = performance.now();
      const speed = await probe.decode(side, this.#prompt, decodeTokens);
      this.#speed = Math.max(this.#speed, speed);
      this.costs.prefill += 2 * (prefilled - started);
      this.costs.decode += (2000 * (this.#sliceTokens + 1)) / speed;
      this.spentMs.prefill += prefilled - started;
      this.spentMs.decode += performance.now() - prefilled;
    }
  }

  async turn(metric: Metric, report: () => void): Promise<void> {
    const began = performance.now();
    let now = began;
    let longest = TURN_MS;
    do {
      const started = now;
      await this.#takeQuad(metric);
      now = performance.now();
      this.costs[metric] = now - started;
      this.spentMs[metric] += now - started;
      report();
      // The first slices may have to compute their prompt again, which shall not be all that a turn is spent on.
      if (metric === 'decode') longest = Math.max(longest, 2 * (now - started));
    } while (now - began < longest && this.series[metric].length < MOST_QUADS);
    this.done[metric] = isEnough(metric === 'prefill' ? prefillQuads(this.series) : this.series.decode);
  }

  async #takeQuad(metric: Metric): Promise<void> {
    const { probe, promptOf } = this.#means;
    const { promptTokens, prefill, decode } = this.series;
    if (metric === 'prefill') {
      this.#prompt = promptOf(promptTokens);
      prefill.push(await this.#inTurns((side) => probe.prefill(side, this.#prompt)));
    } else {
      const tokens = this.#sliceTokens;
      decode.push(await this.#inTurns((side) => probe.decode(side, this.#prompt, tokens)));
    }
  }

  async #inTurns<T>(take: (side: Side) => Promise<T>): Promise<Pairs<T>> {
    const quad: Pairs<T> = { a: [], b: [] };
    for (const side of turnOrder(this.#means.random)) quad[side].push(await take(side));
    return quad;
  }

  /** One side of as many quads as there must be. */
  async takeAlone(side: Side): Promise<void> {
    const { probe } = this.#means;
    const fill = async <T>(quads: Pairs<T>[], metric: Metric, take: () => Promise<T>) => {
      const started = performance.now();
      for (let i = 0; i < LEAST_QUADS[metric]; i++) {
        quads[i] ??= { a: [], b: [] };
        for (let j = 0; j < 2; j++) quads[i]![side].push(await take());
      }
      this.spentMs[metric] += performance.now() - started;
    };
    const { prefill, decode } = this.series;
    const tokens = this.#sliceTokens;
    await fill(prefill, 'prefill', () => probe.prefill(side, this.#prompt));
    await fill(decode, 'decode', () => probe.decode(side, this.#prompt, tokens));
  }
}
