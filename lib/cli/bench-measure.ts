/** Times the engine as a caller sees it: from `generate` to the tokens that come out. */
import type { GenerationResult } from '../engine/run.js';
import { KvasirError } from '../errors.js';
import { Random } from '../generation/random.js';
import { type Model, startGeneration } from '../model.js';
import type { GenerateOptions } from '../options.js';

export interface BenchWork {
  prefillTokens: number;
  decodeTokens: number;
  /** Of the sequences whose decode is timed. */
  promptTokens: number;
  batch: number;
  repetitions: number;
}

/** Tokens per second over all sequences, one sample for each repetition. */
export interface Measurement {
  prefill: number[];
  decode: number[];
}

/** One sequence: how many tokens came at which time (ms), and its own account. */
interface Course {
  arrivals: { time: number; tokens: number }[];
  result: GenerationResult;
}

const sampling: GenerateOptions = { temperature: 0.8, topK: 40, topP: 0.95, seed: 1, ignoreEos: true };

/** Each kind once to warm up, then in turns. Throws the signal's reason. */
export async function measure(
  model: Model,
  work: BenchWork,
  signal: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<Measurement> {
  const random = new Random(1);
  const measured: Measurement = { prefill: [], decode: [] };
  const total = 2 * (work.repetitions + 1);
  for (let round = 0; round <= work.repetitions; round++) {
    onProgress(2 * round, total);
    const prefill = await timePrefill(model, work, random, signal);
    onProgress(2 * round + 1, total);
    const decode = await timeDecode(model, work, random, signal);
    if (round === 0) continue;
    measured.prefill.push(prefill);
    measured.decode.push(decode);
  }
  return measured;
}

function prompts(model: Model, count: number, length: number, random: Random): Int32Array[] {
  const id = () => Math.floor(random.uniform() * model.info.vocabSize);
  return Array.from({ length: count }, () => Int32Array.from({ length }, id));
}

async function timePrefill(
  model: Model,
  work: BenchWork,
  random: Random,
  signal: AbortSignal,
): Promise<number> {
  const { batch, prefillTokens } = work;
  const given = prompts(model, batch, prefillTokens, random);
  const started = performance.now();
  await Promise.all(given.map((prompt) => generate(model, prompt, 1, signal)));
  return (1000 * batch * prefillTokens) / (performance.now() - started);
}

async function timeDecode(
  model: Model,
  work: BenchWork,
  random: Random,
  signal: AbortSignal,
): Promise<number> {
  const { batch, promptTokens, decodeTokens } = work;
  const given = prompts(model, batch, promptTokens, random);
  // The first token of each belongs to the prompt.
  const courses = await Promise.all(given.map((prompt) => generate(model, prompt, decodeTokens + 1, signal)));
  return decodeSpeed(courses);
}

/**
 * While all sequences decode: from the first token of the last one to start, to the end of the first one to end. Text
 * of several tokens may come at once, so one sequence, or a very short time, is better told by the engine itself.
 */
function decodeSpeed(courses: readonly Course[]): number {
  const from = Math.max(...courses.map(({ arrivals }) => arrivals[0]!.time));
  const to = Math.min(...courses.map(({ arrivals }) => arrivals.at(-1)!.time));
  if (courses.length === 1 || to <= from) {
    return courses.reduce((sum, { result }) => sum + result.timings.decodeTokensPerSecond, 0);
  }
  const arrivals = courses.flatMap((course) => course.arrivals);
  const between = arrivals.filter(({ time }) => time > from && time <= to);
  return (1000 * between.reduce((sum, { tokens }) => sum + tokens, 0)) / (to - from);
}

/** Exactly `count` tokens. */
async function generate(
  model: Model,
  prompt: Int32Array,
  count: number,
  signal: AbortSignal,
): Promise<Course> {
  const arrivals: Course['arrivals'] = [];
  const options = { ...sampling, maxTokens: count, signal };
  const run = startGeneration(model, prompt, options, { cache: { reuse: false } });
  for await (const { tokens } of run) arrivals.push({ time: performance.now(), tokens: tokens.length });
  signal.throwIfAborted();
  const result = await run;
  checkComplete(result, count);
  return { arrivals, result };
}

function checkComplete({ tokens, finishReason }: GenerationResult, count: number): void {
  if (tokens.length === count && finishReason === 'length') return;
  throw new KvasirError(
    'INTERNAL',
    `The benchmark wanted ${count} tokens, but the engine gave ${tokens.length} (${finishReason}).`,
  );
}
