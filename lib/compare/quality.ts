/** Quality: the same windows through both models, row of logits by row, and greedy text side by side. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { availableMemory } from '../memory.js';
import { logitsOf, type Model, startGeneration } from '../model.js';
import { compareRows, type RowComparison } from './divergence.js';
import type { ModelPair } from './model-pair.js';
import type { QualityAccumulator } from './quality-statistics.js';
import { firstScored } from './windows.js';

/** Comparing rows may hold the event loop so long. */
const SLICE_MS = 2;

export interface QualityRun {
  signal: AbortSignal;
  /** Windows that are compared. */
  onWindow(done: number): void;
}

/**
 * Adds every scored row of the windows to `into`, whole windows only. The reference is a. Rows of as many windows as
 * memory allows wait for b where the two models have to take turns, of one otherwise.
 */
export async function compareWindows(
  pair: ModelPair,
  windows: readonly Int32Array[],
  into: QualityAccumulator,
  { signal, onWindow }: QualityRun,
): Promise<void> {
  let done = 0;
  while (done < windows.length) {
    const reference = await pair.use('a');
    const batch = windows.slice(done, done + (pair.bothFit ? 1 : affordable(reference, windows[0]!.length)));
    const held: Float32Array[][] = [];
    for (const window of batch) held.push(await collect(scoredRows(reference, window, signal)));
    const other = await pair.use('b');
    for (const window of batch) {
      for (const row of await compareWindow(held.shift()!, other, window, signal)) into.add(row);
      onWindow(++done);
    }
  }
}

/** Windows whose rows may wait in half of the memory that is left; the other model takes the place of this one. */
function affordable({ info }: Model, windowTokens: number): number {
  const bytes = (windowTokens - 1 - firstScored(windowTokens)) * info.vocabSize * 4;
  return Math.max(1, Math.floor(availableMemory() / 2 / bytes));
}

function scoredRows(model: Model, window: Int32Array, signal: AbortSignal) {
  return logitsOf(model, window.subarray(0, -1), firstScored(window.length), signal);
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function compareWindow(
  reference: readonly Float32Array[],
  other: Model,
  window: Int32Array,
  signal: AbortSignal,
): Promise<RowComparison[]> {
  const compared: RowComparison[] = [];
  const first = firstScored(window.length);
  let turnStarted = performance.now();
  for await (const row of scoredRows(other, window, signal)) {
    const index = compared.length;
    compared.push(compareRows(reference[index]!, row, window[first + index + 1]!));
    if (performance.now() - turnStarted < SLICE_MS) continue;
    await nextTurn();
    turnStarted = performance.now();
  }
  return compared;
}

/** Greedy text of both models after the same prompt. */
export interface Divergence {
  prompt: string;
  /** Tokens that each generated. */
  tokens: number;
  /** Index of the first token that differs, from 0 on; null when none does. */
  firstDifferent: number | null;
  text: [string, string];
}

const GREEDY_PROMPTS = 4;
const GREEDY_PROMPT_TOKENS = 32;
const GREEDY_TOKENS = 64;

/** The prompts are beginnings of windows, so they suit the model's vocabulary as the text does. */
export async function compareGreedy(
  pair: ModelPair,
  windows: readonly Int32Array[],
  signal: AbortSignal,
): Promise<Divergence[]> {
  const size = Math.min(GREEDY_PROMPT_TOKENS, Math.ceil(windows[0]!.length / 2));
  const step = Math.max(1, Math.floor(windows.length / GREEDY_PROMPTS));
  const prompts = windows
    .filter((_, i) => i % step === 0)
    .slice(0, GREEDY_PROMPTS)
    .map((window) => window.slice(0, size));
  const a = await greedy(await pair.use('a'), prompts, signal);
  const model = await pair.use('b');
  const b = await greedy(model, prompts, signal);
  signal.throwIfAborted();
  return prompts.map((prompt, i) => {
    const [one, other] = [a[i]!, b[i]!];
    const different = one.tokens.findIndex((id, at) => id !== other.tokens[at]);
    return {
      prompt: model.tokenizer.decode(prompt),
      tokens: one.tokens.length,
      firstDifferent: different < 0 ? null : different,
      text: [one.text, other.text],
    };
  });
}

async function greedy(model: Model, prompts: readonly Int32Array[], signal: AbortSignal) {
  const options = { temperature: 0, maxTokens: GREEDY_TOKENS, ignoreEos: true, repetitionPenalty: 1, signal };
  const cache = { reuse: false };
  return Promise.all(prompts.map((prompt) => startGeneration(model, prompt, options, { cache })));
}
