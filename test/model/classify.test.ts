/** Classifiers and rerankers against the pipelines of transformers and CrossEncoder of sentence-transformers. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KvasirError, Model } from '../../lib/index.js';
import { classifierFolder } from './classifier-folders.js';

interface Entity {
  entity?: string;
  entity_group?: string;
  score: number;
  start: number;
  end: number;
}
interface Case {
  tokenizer: string;
  task: 'sequence' | 'pairs' | 'tokens';
  labels?: [string, number][][];
  scores?: number[];
  none?: Entity[][];
  simple?: Entity[][];
}
interface Golden {
  texts: string[];
  query: string;
  documents: string[];
  cases: Record<string, Case>;
  reranker: { scores: number[]; instruction: string; instructed: number[] };
}

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));
const golden: Golden = JSON.parse(readFileSync(join(fixtures, 'classifiers', 'golden.json'), 'utf8'));
const { texts, query, documents, cases } = golden;
const named = (task: Case['task']) => Object.entries(cases).filter(([, one]) => one.task === task);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-classify-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const folderOf = (name: string, change: object = {}) => classifierFolder(folder, name, change);

const load = (path: string) => Model.load(path, { dtype: 'fp32', threads: 1 });

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  return error instanceof KvasirError ? error.code : error && String(error);
}

function expectRanked(got: { index: number; score: number }[], scores: number[]): void {
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
  expect(got.map(({ index }) => index)).toEqual(order);
  for (const { index, score } of got) expect(score).toBeCloseTo(scores[index], 4);
}

describe('classify', () => {
  it.each(named('sequence'))('gives the labels of %s', async (name, { labels = [] }) => {
    await using model = await load(folderOf(name));
    const got = await model.classify(texts);
    for (const [i, expected] of labels.entries()) {
      expect(got[i].map(({ label }) => label)).toEqual(expected.map(([label]) => label));
      for (const [k, [, score]] of expected.entries()) expect(got[i][k].score).toBeCloseTo(score, 4);
    }
    expect(await model.classify(texts[1], { topK: 1 })).toEqual([got[1].slice(0, 1)]);
    expect(await codeOf(model.generate('a').then())).toBe('INVALID_OPTION');
  });

  it.each(named('tokens'))('joins the entities of %s', async (name, { none = [], simple = [] }) => {
    await using model = await load(folderOf(name));
    for (const [aggregation, expected] of Object.entries({ none, simple })) {
      const got = await model.classify(texts, { aggregation: aggregation as 'none' | 'simple' });
      expect(got.map((entities) => entities.map(({ label, start, end }) => [label, start, end]))).toEqual(
        expected.map((all) => all.map((one) => [one.entity ?? one.entity_group, one.start, one.end])),
      );
      for (const [i, entities] of got.entries()) {
        for (const [k, { score, start, end, text }] of entities.entries()) {
          expect(score).toBeCloseTo(expected[i][k].score, 4);
          expect(text).toBe(texts[i].slice(start, end));
        }
      }
    }
    expect(expected(simple)).toBeGreaterThan(3);
    expect(await codeOf(model.rerank(query, documents))).toBe('INVALID_OPTION');
  });
  const expected = (all: Entity[][]) => all.flat().length;

  it('does not depend on the company, in INT8 too', async () => {
    for (const name of ['bert', 'qwen3', 'modernbert']) {
      await using model = await Model.load(folderOf(name), { threads: 2 });
      const many = Array.from({ length: 70 }, (_, i) => texts[i % texts.length]);
      const got = await model.classify(many);
      for (const [i, text] of texts.entries()) {
        const [alone] = await model.classify(text);
        expect(got[i]).toEqual(alone);
        expect(got[i + 66]).toEqual(alone);
      }
    }
  });

  it('refuses damaged classifiers, and says what is wrong of a call', async () => {
    const without = folderOf('roberta', { model_type: 'bert' });
    expect(await codeOf(load(without))).toBe('MODEL_FORMAT');
    const pooled = folderOf('bert', { architectures: ['BertForTokenClassification'] });
    await using tokens = await load(pooled);
    expect((await tokens.classify(texts[1], { aggregation: 'none' }))[0].length).toBeGreaterThan(1);
    const strange = folderOf('bert-pairs', { sentence_transformers: { activation_fn: 'torch.nn.Softplus' } });
    expect(await codeOf(load(strange))).toBe('UNSUPPORTED_ARCHITECTURE');
    await using model = await load(folderOf('distilbert'));
    expect(await codeOf(model.classify(['a', 5] as never))).toBe('INVALID_OPTION');
    expect(await codeOf(model.classify('a', { topK: 0 }))).toBe('INVALID_OPTION');
    expect(await codeOf(model.classify('The creature '.repeat(80)))).toBe('CONTEXT_OVERFLOW');
    const reason = new Error('enough');
    await expect(model.classify('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await model.dispose();
    expect(await codeOf(model.classify('a'))).toBe('DISPOSED');
    await using plain = await Model.load('stories-260k');
    expect(await codeOf(plain.classify('a'))).toBe('INVALID_OPTION');
    expect(await codeOf(plain.rerank('a', ['b']))).toBe('INVALID_OPTION');
  });
});

describe('rerank', () => {
  it.each(named('pairs'))('ranks as %s', async (name, { scores = [] }) => {
    await using model = await load(folderOf(name));
    const got = await model.rerank(query, documents);
    expectRanked(got, scores);
    expect(await model.rerank(query, documents, { topK: 2 })).toEqual(got.slice(0, 2));
    const raw = await model.rerank(query, documents, { raw: true });
    const sigmoids = raw.map(({ index, score }) => ({ index, score: 1 / (1 + Math.exp(-score)) }));
    const plain = await model.rerank(query, documents, { raw: false });
    for (const [i, { index, score }] of plain.entries()) {
      expect(sigmoids[i].index).toBe(index);
      expect(sigmoids[i].score).toBeCloseTo(score, 12);
    }
    expect(await model.rerank(query, [])).toEqual([]);
  });

  it('asks Qwen3-Reranker for yes or no', async () => {
    const { scores, instruction, instructed } = golden.reranker;
    await using model = await load(join(fixtures, 'classifiers', 'qwen3-reranker'));
    expectRanked(await model.rerank(query, documents), scores);
    expectRanked(await model.rerank(query, documents, { instruction }), instructed);
    expect(await codeOf(model.rerank(query, ['The creature '.repeat(900)]))).toBe('CONTEXT_OVERFLOW');
    expect(await codeOf(model.rerank(5 as never, documents))).toBe('INVALID_OPTION');
  });
});
