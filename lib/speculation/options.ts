/** The option `speculate`: who proposes tokens that the model then only has to check. */
import type { KvasirError } from '../errors.js';
import { integer, invalidOption, isRecord, type Rule } from '../given.js';

/** A loaded `Model`. */
export interface DraftModel {
  readonly info: { readonly vocabSize: number };
}

export interface DraftOptions {
  /** A smaller model with the same vocabulary. It stays the caller's, and may draft for several requests at once. */
  draft: DraftModel;
  /** Most tokens that it drafts for a step, 1 to 16. Default 6. */
  tokens?: number;
}

/** 'prompt': what follows the same tokens earlier in the prompt or the answer. */
export type Speculate = 'prompt' | DraftOptions | false;

export interface SpeculateOptions {
  /**
   * Tokens are proposed and several of them checked in one step; the text is the one that comes without, greedy or
   * sampled. It pauses where it loses time. `timings` say how many were drafted and accepted. Default false.
   */
  speculate?: Speculate;
}

/** Drafts that a step checks of one text. */
export const MOST_DRAFTED = 16;
const tokens = integer(1, MOST_DRAFTED);

function isDraft(v: unknown): boolean {
  if (!isRecord(v) || Object.keys(v).some((name) => name !== 'draft' && name !== 'tokens')) return false;
  return isRecord(v.draft) && (v.tokens === undefined || tokens.fits(v.tokens));
}

export const speculateRules = {
  speculate: {
    copy: (v) => (isRecord(v) ? { ...v } : v),
    fits: (v) => v === false || v === 'prompt' || isDraft(v),
    allowed: `'prompt', false or { draft: a Model, tokens: ${tokens.allowed} }`,
  },
} satisfies Record<keyof SpeculateOptions, Rule>;

/** INVALID_OPTION for a model that cannot do what is asked. */
export function speculateError(given: Speculate, allowed: string): KvasirError {
  return invalidOption('speculate', typeof given === 'object' ? '{ draft }' : given, allowed);
}

/** Throws INVALID_OPTION for what does not go together. */
export function checkSpeculation({ speculate, n = 1, bestOf = 1 }: SpeculateOptions & Several): void {
  if (typeof speculate === 'object' && Math.max(n, bestOf) > 1) {
    throw speculateError(speculate, "'prompt' or left out where there are several texts");
  }
}

interface Several {
  n?: number;
  bestOf?: number;
  beams?: number;
}

/** What of a default goes with a request that asks for this. */
export function speculationBeside(
  speculate: Speculate,
  { n = 1, bestOf = 1, beams = 1 }: Several,
): Speculate {
  const isAlone = Math.max(n, bestOf) === 1 || speculate === 'prompt';
  return isAlone && beams === 1 ? speculate : false;
}
