/** Spearman's rank correlation against scipy's, and the pieces of a text whose vectors are compared. */
import { expect, it } from 'vitest';
import { rankCorrelation } from '../../lib/compare/rank-correlation.js';
import { piecesOf } from '../../lib/compare/vectors.js';

it('is what scipy.stats.spearmanr gives, ties included', () => {
  expect(rankCorrelation([1, 2, 3, 4], [10, 20, 30, 40])).toBe(1);
  expect(rankCorrelation([1, 2, 3, 4], [4, 3, 2, 1])).toBe(-1);
  expect(rankCorrelation([3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8])).toBeCloseTo(
    0.19885368120992467,
    12,
  );
  expect(rankCorrelation([1, 2, 2, 3], [1, 3, 2, 4])).toBeCloseTo(0.9486832980505138, 12);
  expect(rankCorrelation([1, 1, 1], [2, 2, 2])).toBe(1);
  expect(rankCorrelation([1, 1, 1], [1, 2, 3])).toBe(0);
});

it('pieces have 8 to 256 words, in turn, and are parts of the text', () => {
  const text = Array.from({ length: 1200 }, (_, i) => `w${i}`).join(' \n');
  const pieces = piecesOf(text, 9);
  expect(pieces.map((piece) => piece.split(/\s+/).length)).toEqual([8, 16, 32, 64, 128, 256, 8, 16, 32]);
  expect(pieces.every((piece) => text.includes(piece))).toBe(true);
  expect(piecesOf(text, 1000).join(' ').split(/\s+/)).toHaveLength(1200);
  expect(() => piecesOf('a few words', 9)).toThrow('pieces');
});
