/**
 * Decisions: how probable each of a few answers is after a prompt. The likelihoods of the whole texts `prompt + answer`,
 * normalised over the answers: softmax of what `score` gives for them.
 */
import { type Adapter, adapterRule } from './lora/adapter.js';
import { answerOf, type Asking } from './engine/answer-request.js';
import { DecideRequest } from './engine/decide-request.js';
import { type Engine, overflowError } from './engine/engine.js';
import { invalidOption, list, parseOptions, type Rule, signal as signalRule } from './given.js';
import { hasLoneSurrogate } from './options.js';

interface DecisionOptions {
  /** A LoRA adapter that this model has loaded. Default: none. */
  adapter?: Adapter;
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface ChoiceOptions extends DecisionOptions {
  /** 2 to 1024 different texts, as they stand after the prompt. */
  choices: readonly string[];
}

export interface ScoreDecisionOptions extends DecisionOptions {
  /** Integers [lowest, highest], at most 1024 of them: the answers are their decimal digits. */
  score: readonly [number, number];
}

export interface BooleanDecisionOptions extends DecisionOptions {
  /** The answers are 'true' and 'false'. */
  boolean: true;
}

export type DecideOptions = ChoiceOptions | ScoreDecisionOptions | BooleanDecisionOptions;

/** The whole distribution over the answers. */
export interface Decision<Answer extends string | number | boolean> {
  /** The most probable one, of equal ones the first. */
  choice: Answer;
  /** Of each answer, by its text; they sum to 1. */
  probabilities: Record<string, number>;
}

/** Branches of one request: half of what a step takes, so that others run beside it. */
const AT_ONCE = 32;
const MOST_ANSWERS = 1024;

const isAnswer = (v: unknown) => typeof v === 'string' && v !== '' && !hasLoneSurrogate(v);
const choices = list(
  isAnswer,
  2,
  MOST_ANSWERS,
  `an array of 2 to ${MOST_ANSWERS} different, well-formed, non-empty strings`,
);
const range = list(
  Number.isSafeInteger,
  2,
  2,
  `[lowest, highest], two integers with at most ${MOST_ANSWERS} numbers from one to the other`,
);
const isRange = ([lowest, highest]: number[]) => lowest < highest && highest - lowest < MOST_ANSWERS;
const rules = {
  choices: {
    ...choices,
    fits: (v) => choices.fits(v) && new Set(v as string[]).size === (v as string[]).length,
  },
  score: {
    ...range,
    fits: (v) => range.fits(v) && isRange(v as number[]),
  },
  boolean: { fits: (v) => v === true, allowed: 'true, or absent' },
  adapter: adapterRule,
  signal: signalRule,
} satisfies Record<string, Rule>;

export interface DecisionTask {
  answers: (string | number | boolean)[];
  adapter: Adapter | undefined;
  signal: AbortSignal | undefined;
}

/** Throws INVALID_OPTION. */
export function parseDecideOptions(options: unknown): DecisionTask {
  const given = parseOptions(rules, options, 'decide') as Partial<
    ChoiceOptions & ScoreDecisionOptions & BooleanDecisionOptions
  >;
  const { choices, score, boolean, adapter, signal } = given;
  const kinds = [choices, score, boolean].filter((kind) => kind !== undefined);
  if (kinds.length !== 1) {
    throw invalidOption('of decide', Object.keys(given), 'an object with one of choices, score and boolean');
  }
  if (choices) return { answers: [...choices], adapter, signal };
  if (boolean) return { answers: [true, false], adapter, signal };
  const [lowest, highest] = score as readonly [number, number];
  return { answers: Array.from({ length: highest - lowest + 1 }, (_, i) => lowest + i), adapter, signal };
}

/**
 * @param texts token ids of prompt and answer, of each answer; all different.
 * @returns probabilities in the order of the texts.
 * @throws CONTEXT_OVERFLOW, INVALID_OPTION, DISPOSED or the signal's reason.
 */
export async function weigh(
  engine: Engine,
  texts: readonly Int32Array[],
  contextLength: number,
  asking: Pick<Asking, 'adapter' | 'signal'>,
): Promise<number[]> {
  const length = sharedLength(texts);
  if (length < 1) {
    throw invalidOption(
      'prompt',
      'too short',
      'such that its answers have at least one token before them in common',
    );
  }
  const longest = Math.max(...texts.map((text) => text.length));
  // The last token is only a target.
  if (longest - 1 > contextLength)
    throw overflowError(longest - 1, contextLength, 'the context', 'contextLength');
  const shared = texts[0].slice(0, length);
  const answers = texts.map((text) => text.slice(length));
  const logprobs: number[] = [];
  for (let from = 0; from < answers.length; from += AT_ONCE) {
    const group = answers.slice(from, from + AT_ONCE);
    logprobs.push(...(await answerOf(engine, new DecideRequest({ shared, answers: group, ...asking }))));
  }
  return distribution(answers, logprobs);
}

/** Tokens that all texts begin with, each of them having at least one more. */
function sharedLength(texts: readonly Int32Array[]): number {
  const shortest = Math.min(...texts.map(({ length }) => length)) - 1;
  const [first] = texts;
  for (let i = 0; i < shortest; i++) if (texts.some((text) => text[i] !== first[i])) return i;
  return shortest;
}

/**
 * Probabilities that sum to 1. Where one answer's tokens begin another's (1 and 10), the likelihood of the shorter one
 * counts without the longer one's, which it contains.
 */
function distribution(answers: readonly Int32Array[], logprobs: readonly number[]): number[] {
  const largest = Math.max(...logprobs);
  const likelihoods = logprobs.map((logprob) => Math.exp(logprob - largest));
  const own = [...likelihoods];
  const ids = new Map(answers.map((answer, i) => [`${answer.join()},`, i]));
  answers.forEach((answer, i) => {
    const nearest = longestStart(answer, ids);
    if (nearest !== undefined) own[nearest] = Math.max(0, own[nearest] - likelihoods[i]);
  });
  const total = own.reduce((sum, value) => sum + value, 0);
  return own.map((value) => value / total);
}

/** The longest other answer that begins this one. */
function longestStart(answer: Int32Array, ids: ReadonlyMap<string, number>): number | undefined {
  let found: number | undefined;
  let start = '';
  for (const id of answer.subarray(0, -1)) {
    start += `${id},`;
    found = ids.get(start) ?? found;
  }
  return found;
}
