/**
 * What a mode costs a model that gives vectors: how far it turns the vector of a text, and whether similarities of texts keep
 * their order. Texts are pieces of the comparison's text, of 8 to 256 words.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { invalidOption } from '../options.js';
import { cosine } from '../vectors/given-vectors.js';
import type { ModelPair } from './model-pair.js';
import { percentile } from './quality-statistics.js';
import { rankCorrelation } from './rank-correlation.js';

export interface VectorQuality {
  texts: number;
  /** Of all texts. */
  tokens: number;
  dimensions: number;
  /** Of a text's vector in the second mode to that in the first; `p1`: of 100 texts 99 have at least this. */
  cosine: { mean: number; median: number; p1: number; least: number };
  /** Pairs of texts. */
  pairs: number;
  /** Spearman's, of the similarities of all pairs in the one mode to those in the other. */
  rankCorrelation: number;
  /** Texts whose nearest other text is the same in both modes, of all. */
  sameNearest: number;
}

/** Words of a piece, in turn. */
const LENGTHS = [8, 16, 32, 64, 128, 256];
const LEAST_TEXTS = 3;

/** The first `count` pieces of a text, or fewer where it is shorter. Throws INVALID_OPTION for fewer than three. */
export function piecesOf(text: string, count: number): string[] {
  const pieces: string[] = [];
  const words = text.matchAll(/\S+/g);
  for (let i = 0; pieces.length < count; i++) {
    let from: number | undefined;
    let end = 0;
    for (let left = LENGTHS[i % LENGTHS.length]!; left > 0; left--) {
      const word = words.next().value;
      if (word === undefined) break;
      from ??= word.index;
      end = word.index + word[0].length;
    }
    if (from === undefined) break;
    pieces.push(text.slice(from, end));
  }
  if (pieces.length >= LEAST_TEXTS) return pieces;
  throw invalidOption(
    'text',
    `${text.length} characters long`,
    'long enough for three pieces of 8, 16 and 32 words',
  );
}

/** Throws the signal's reason, and what `embed` throws. @param onProgress of 1 */
export async function compareVectors(
  pair: ModelPair,
  texts: readonly string[],
  { signal, onProgress }: { signal: AbortSignal; onProgress(done: number): void },
): Promise<VectorQuality> {
  const embed = async (side: 'a' | 'b', from: number) => {
    const model = await pair.use(side);
    return model.embed(texts, {
      overflow: 'truncate',
      normalize: true,
      signal,
      onProgress: ({ done, total }) => onProgress(from + done / total / 2),
    });
  };
  const [a, b] = [await embed('a', 0), await embed('b', 0.5)];
  const cosines = a.map((vector, i) => cosine(vector, b[i]!)).sort((x, y) => x - y);
  const [one, other] = [await similarities(a), await similarities(b)];
  const nearest = texts.filter(
    (_, i) => nearestOf(one, texts.length, i) === nearestOf(other, texts.length, i),
  );
  return {
    texts: texts.length,
    tokens: a.tokens,
    dimensions: a[0]!.length,
    cosine: {
      mean: cosines.reduce((sum, value) => sum + value, 0) / cosines.length,
      median: percentile(cosines, 0.5),
      p1: percentile(cosines, 0.01),
      least: cosines[0]!,
    },
    pairs: one.length,
    rankCorrelation: rankCorrelation(one, other),
    sameNearest: nearest.length / texts.length,
  };
}

/** Of the pairs (0, 1), (0, 2), (1, 2), (0, 3) and so on. */
async function similarities(vectors: readonly Float32Array[]): Promise<Float64Array> {
  const all = new Float64Array((vectors.length * (vectors.length - 1)) / 2);
  for (let j = 1, at = 0; j < vectors.length; j++) {
    for (let i = 0; i < j; i++) all[at++] = cosine(vectors[i]!, vectors[j]!);
    await nextTurn();
  }
  return all;
}

/** The text that is most like text `i`, the first of equal ones. */
function nearestOf(all: Float64Array, count: number, i: number): number {
  const place = (x: number, y: number) => (Math.max(x, y) * (Math.max(x, y) - 1)) / 2 + Math.min(x, y);
  let best = i === 0 ? 1 : 0;
  for (let j = 0; j < count; j++) if (j !== i && all[place(i, j)]! > all[place(i, best)]!) best = j;
  return best;
}
