/** How much context a comparison needs of a model, and what of it the model has. */
import { describeModel } from '../formats/index.js';
import { resolveModel } from '../hub/index.js';
import { fromNative, native } from '../native.js';
import { invalidOption } from '../options.js';
import { PROMPT_LENGTHS } from './latency.js';
import { modelKind } from '../spec.js';
import type { CompareSettings } from './options.js';
import { WINDOW_TOKENS } from './windows.js';

export interface Readable {
  /** The longest sequence that the model was made for. */
  maxPositions: number;
  /** It gives vectors and predicts no tokens. */
  isEncoder: boolean;
}

/** What a model's headers say. Fetches its files where they are not here; reads no weights. */
export async function readableOf(reference: string, signal: AbortSignal): Promise<Readable> {
  const files = await resolveModel(reference, { signal });
  try {
    const container = await native().openContainer(files.weights);
    try {
      const { spec } = await describeModel(files, container);
      return { maxPositions: spec.maxPositions, isEncoder: modelKind(spec) === 'encoder' };
    } finally {
      container.close();
    }
  } catch (error) {
    throw fromNative(error);
  }
}

export interface ContextSizes {
  contextLength: number;
  windowTokens: number;
  /** Those that fit. At least one. */
  promptLengths: readonly number[];
}

/** Throws INVALID_OPTION when what was asked for does not fit into the model. */
export function fitContext(maxPositions: number, settings: CompareSettings): ContextSizes {
  const { decodeTokens, windowTokens: given, parts } = settings;
  if (given !== undefined && given > maxPositions) {
    throw invalidOption('windowTokens', given, `at most ${maxPositions} for this model`);
  }
  const windowTokens = given ?? Math.min(WINDOW_TOKENS, maxPositions);
  const promptLengths = fittingLengths(maxPositions, settings);
  const longest = parts.includes('latency') ? promptLengths.at(-1)! + decodeTokens : 0;
  return {
    contextLength: Math.min(maxPositions, Math.max(windowTokens, longest)),
    windowTokens,
    promptLengths,
  };
}

function fittingLengths(
  maxPositions: number,
  { promptLengths: given, decodeTokens }: CompareSettings,
): readonly number[] {
  const room = maxPositions - decodeTokens;
  if (given !== undefined) {
    const longest = Math.max(...given);
    if (longest <= room) return [...new Set(given)].sort((x, y) => x - y);
    const allowed = `at most ${room} for this model, which has ${maxPositions} positions, ${decodeTokens} of them to decode`;
    throw invalidOption('promptLengths', longest, allowed);
  }
  const fitting = PROMPT_LENGTHS.filter((length) => length <= room);
  return fitting.length > 0 ? fitting : [Math.max(1, room)];
}
