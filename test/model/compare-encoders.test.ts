/** `compare()` of models that give vectors: what it says is what their vectors say. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { layoutComparison } from '../../lib/cli/compare-layout.js';
import { compare } from '../../lib/compare/compare.js';
import { comparisonPage } from '../../lib/compare/page/page.js';
import { piecesOf } from '../../lib/compare/vectors.js';
import { Model, similarity } from '../../lib/index.js';
import { packageRoot } from '../../lib/native.js';
import { fixtures } from './golden.js';

const bert = `${fixtures}encoders/bert`;
const text = readFileSync(join(packageRoot, 'texts/frankenstein.txt'), 'utf8').slice(0, 8000);
const quality = { latency: false, layers: false, memory: false, text, windows: 3 } as const;

/** Of ranks without ties: 1 - 6 sum d^2 / (n (n^2 - 1)). */
function spearman(a: readonly number[], b: readonly number[]): number {
  const ranks = (values: readonly number[]) => {
    const order = [...values.keys()].sort((x, y) => values[x]! - values[y]!);
    return values.map((_, i) => order.indexOf(i));
  };
  const [ra, rb] = [ranks(a), ranks(b)];
  const squares = ra.reduce((sum, rank, i) => sum + (rank - rb[i]!) ** 2, 0);
  return 1 - (6 * squares) / (a.length * (a.length ** 2 - 1));
}

it('cosines and rank correlation are those of the vectors of both modes', async () => {
  const { vectors, ...report } = await compare(bert, quality);
  const pieces = piecesOf(text, 12);
  const embedded: Float32Array[][] = [];
  for (const dtype of ['fp32', 'int8'] as const) {
    await using model = await Model.load(bert, { dtype });
    embedded.push(await model.embed(pieces, { overflow: 'truncate' }));
  }
  const [a, b] = [embedded[0]!, embedded[1]!];
  const cosines = a.map((vector, i) => similarity(vector, b[i]!));
  const pairs = (all: Float32Array[]) => all.flatMap((x, j) => all.slice(0, j).map((y) => similarity(x, y)));
  expect(vectors).toMatchObject({ texts: 12, dimensions: 32, pairs: 66 });
  expect(vectors!.cosine.least).toBeCloseTo(Math.min(...cosines), 12);
  expect(vectors!.cosine.mean).toBeCloseTo(cosines.reduce((x, y) => x + y, 0) / 12, 12);
  expect(vectors!.cosine.mean).toBeLessThan(1);
  expect(vectors!.rankCorrelation).toBeCloseTo(spearman(pairs(a), pairs(b)), 9);
  const nearest = (all: Float32Array[], i: number) =>
    [...all.keys()]
      .filter((j) => j !== i)
      .sort((x, y) => similarity(all[i]!, all[y]!) - similarity(all[i]!, all[x]!))[0];
  const same = pieces.filter((_, i) => nearest(a, i) === nearest(b, i)).length / 12;
  expect(vectors!.sameNearest).toBeCloseTo(same, 12);
  expect(report).toMatchObject({ complete: true, missing: [], runs: [], layers: [] });
  expect(report).not.toHaveProperty('quality');
});

it('a mode turns nothing against itself', async () => {
  const { vectors } = await compare(bert, { ...quality, a: 'int8', b: 'int8' });
  expect(vectors).toMatchObject({ rankCorrelation: 1, sameNearest: 1 });
  expect(vectors!.cosine.least).toBeCloseTo(1, 12);
});

it('measures speed and memory, and shows all of it in text and on the page', async () => {
  const report = await compare(bert, {
    text,
    windows: 3,
    promptLengths: [8, 32],
    latencySeconds: 0,
    minSpeedup: 1e9,
  });
  const { embedding, memory, checks, layersSkipped } = report;
  expect(embedding!.runs.map(({ mode }) => mode)).toEqual(['fp32', 'int8', 'fp32', 'int8']);
  for (const { textTokens, ms, tokensPerSecond, samples } of embedding!.runs) {
    expect([8, 32].some((length) => Math.abs(length - textTokens) <= 3)).toBe(true);
    expect(tokensPerSecond).toBeCloseTo((1000 * textTokens) / ms, 6);
    expect(samples.ms).toHaveLength(6);
  }
  expect(Object.keys(memory)).toEqual(['fp32', 'int8']);
  expect(memory.int8!.weights).toBeLessThan(memory.fp32!.weights);
  expect(memory.int8!.peakRss).toBeGreaterThan(memory.int8!.baseRss);
  expect(checks).toMatchObject([
    { name: 'minSpeedup', passed: false, value: embedding!.speedupByLength.at(-1)!.ratio },
  ]);
  expect(layersSkipped).toContain('vectors');
  const shown = layoutComparison(report);
  for (const word of ['rank correlation', 'same nearest text', 'text, tokens', 'memory'])
    expect(shown).toContain(word);
  const page = comparisonPage(report);
  for (const path of [
    'vectors.rankCorrelation',
    'vectors.cosine.least',
    'embedding.runs.0.ms',
    'memory.int8.weights',
  ])
    expect(page).toContain(`data-path="${path}"`);
});

it('refuses what asks for tokens, and a text too short', async () => {
  for (const options of [{ maxKl: 1 }, { windowTokens: 32 }, { search: true, maxKl: 1, layers: true }]) {
    await expect(compare(bert, { text, ...options })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  }
  await expect(compare(bert, { ...quality, text: 'a few words only' })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    details: { option: 'text' },
  });
});

it('an abort leaves what there is', async () => {
  const stop = new AbortController();
  const report = await compare(bert, {
    ...quality,
    signal: stop.signal,
    onProgress: ({ phase }) => phase === 'quality' && stop.abort(),
  });
  expect(report).toMatchObject({ complete: false, missing: ['quality'] });
  expect(report).not.toHaveProperty('vectors');
});
