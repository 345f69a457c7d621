/** The options of `generate` that ask for several texts, or search for the most probable one. */
import { integer, invalidOption, number, type Rule } from '../given.js';

export interface SearchOptions {
  /**
   * How many texts come, 1 to 64; the prompt is computed once. Without beams they are drawn with seeds from `seed` on, and
   * the first one streams. More than one needs a temperature above 0, or `beams`. Default 1.
   */
  n?: number;
  /** So many texts are drawn, and the `n` with the highest log-probability a token come, best first. Default: `n`. */
  bestOf?: number;
  /**
   * Beam search with so many beams, 1 to 64, over the model's own probabilities: no sampling, penalties, stop strings or
   * log-probabilities. The text comes when the search is over. Default 1 (off).
   */
  beams?: number;
  /** With beams: scores are divided by the number of tokens to this power, -10 to 10; above 0 favours long texts. Default 1. */
  lengthPenalty?: number;
  /**
   * With beams: true ends as soon as there are as many whole texts as beams, false when better ones are not to be
   * expected, 'never' when none can come. Default false.
   */
  earlyStopping?: boolean | 'never';
}

/** Several texts of which the best come; absent: one. */
export interface SearchSettings {
  /** Texts that come. */
  n: number;
  /** Texts that are drawn. */
  bestOf: number;
  /** Absent: they are drawn. */
  beams?: BeamSettings;
}

export interface BeamSettings {
  beams: number;
  lengthPenalty: number;
  earlyStopping: boolean | 'never';
}

export const searchRules = {
  n: integer(1, 64),
  bestOf: integer(1, 64),
  beams: integer(1, 64),
  lengthPenalty: number(-10, 10),
  earlyStopping: { fits: (v) => typeof v === 'boolean' || v === 'never', allowed: "true, false or 'never'" },
} satisfies Record<keyof SearchOptions, Rule>;

/** What goes with beams; everything else speaks of sampling or of one text that grows. */
const WITH_BEAMS: readonly string[] = [
  ...Object.keys(searchRules),
  ...['maxTokens', 'ignoreEos', 'signal', 'badWords', 'minTokens', 'noRepeatNgram'],
  ...['tools', 'toolChoice', 'toolFormat', 'reasoning', 'adapter', 'responseFormat'],
  ...['overflow', 'answerPrefix'],
];

/** Whether several texts are asked for, which only sampling tells apart. */
export function asksForSeveral({ n = 1, bestOf = 1, beams = 1 }: SearchOptions): boolean {
  return beams === 1 && Math.max(n, bestOf) > 1;
}

/**
 * @param temperature that texts are drawn at.
 * @param vocabSize so many different texts has one more token at most.
 */
export function searchOf(
  given: SearchOptions,
  temperature: number,
  vocabSize: number,
): SearchSettings | undefined {
  const { n = 1, beams = 1, bestOf = beams > 1 ? beams : n } = given;
  if (beams > 1) return { n, bestOf, beams: beamsOf(given, beams, vocabSize) };
  for (const name of ['lengthPenalty', 'earlyStopping'] as const) {
    if (given[name] !== undefined) throw invalidOption(name, given[name], 'left out without beams above 1');
  }
  if (bestOf < n) throw invalidOption('bestOf', bestOf, `at least n, which is ${n}`);
  if (bestOf === 1) return undefined;
  if (temperature === 0)
    throw invalidOption('temperature', 0, 'above 0 for several texts: all would be the same');
  return { n, bestOf };
}

function beamsOf(given: SearchOptions, beams: number, vocabSize: number): BeamSettings {
  for (const [name, value] of Object.entries(given)) {
    // Greedy is what beams are compared with.
    if (WITH_BEAMS.includes(name) || (name === 'temperature' && value === 0)) continue;
    if (name === 'speculate' && value === false) continue;
    throw invalidOption(name, value, 'left out with beams');
  }
  const { n = 1, bestOf, lengthPenalty = 1, earlyStopping = false } = given;
  if (bestOf !== undefined) throw invalidOption('bestOf', bestOf, 'left out with beams');
  if (n > beams) throw invalidOption('n', n, `at most beams, which is ${beams}`);
  if (2 * beams > vocabSize)
    throw invalidOption('beams', beams, `at most ${Math.floor(vocabSize / 2)} for this model`);
  return { beams, lengthPenalty, earlyStopping };
}
