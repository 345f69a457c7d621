/** Folders of model2vec: what model2vec makes of texts, nearest tokens, and folders that are damaged or of other models. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KvasirError, staticVectors } from '../../lib/index.js';
import { fixtures, type GoldenTensor, readGolden, valuesOf } from './golden.js';

interface Case {
  tokenizer: string;
  tokens: string[];
  /** Of each token [tokens, dimensions]. */
  vectors: GoldenTensor;
  /** Of each text [texts, dimensions], and with at most seven tokens. */
  encoded: GoldenTensor;
  short: GoldenTensor;
  nearest: Record<string, [string, number][]>;
}
const { texts, cases } = readGolden<{ texts: string[]; cases: Record<string, Case> }>(
  'static-models/golden.json',
);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-static-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The folder as model2vec wrote it: its tokenizer is that of another fixture. */
function folderOf(name: string, as = name): string {
  const own = join(folder, as);
  cpSync(`${fixtures}static-models/${name}`, own, { recursive: true });
  cpSync(`${fixtures}${cases[name]!.tokenizer}/tokenizer.json`, join(own, 'tokenizer.json'));
  return own;
}

/** @param error relative: model2vec rounds means to the type of the vectors. */
function expectRows(found: readonly Float32Array[], expected: GoldenTensor, error = 2e-6): void {
  const values = valuesOf(expected);
  const size = values.length / found.length;
  found.forEach((vector, row) => {
    expect(vector).toHaveLength(size);
    for (const [i, value] of vector.entries()) {
      const wanted = values[row * size + i]!;
      expect(Math.abs(value - wanted), `row ${row}, ${i}`).toBeLessThan(1e-6 + error * Math.abs(wanted));
    }
  });
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => 'nothing',
    (reason) => reason,
  );
  return error instanceof KvasirError ? error.code : error;
}

describe.each(Object.entries(cases))('%s', (name, golden) => {
  it('vectors of texts are those of model2vec', async () => {
    await using words = await staticVectors(folderOf(name));
    const error = name === 'half' ? 2 ** -10 : undefined;
    expectRows(await words.embed(texts), golden.encoded, error);
    expectRows(await words.embed(texts, { maxTokens: 7 }), golden.short, error);
    const many = await words.embed(Array.from({ length: 700 }, (_, i) => texts[i % texts.length]!));
    expectRows(many.slice(texts.length * 100, texts.length * 101), golden.encoded, error);
  });

  it('words are its tokens, the nearest those of gensim', async () => {
    await using words = await staticVectors(folderOf(name));
    expect(words.words).toEqual(golden.tokens);
    expectRows(
      golden.tokens.map((token) => words.vector(token)!),
      golden.vectors,
    );
    for (const [word, expected] of Object.entries(golden.nearest)) {
      const near = await words.nearest(word);
      expect(near.map((one) => one.word)).toEqual(expected.map(([other]) => other));
      for (const [i, { score, index }] of near.entries()) {
        expect(score).toBeCloseTo(expected[i]![1], 5);
        expect(golden.tokens[index]).toBe(near[i]!.word);
      }
    }
  });
});

describe('a folder of model2vec', () => {
  it('that is damaged or incomplete, or of another model, is refused', async () => {
    const cut = folderOf('word-piece', 'cut');
    const weights = readFileSync(join(cut, 'model.safetensors'));
    writeFileSync(join(cut, 'model.safetensors'), weights.subarray(0, -5));
    expect(await codeOf(staticVectors(cut))).toBe('MODEL_FORMAT');
    const lacking = folderOf('word-piece', 'lacking');
    rmSync(join(lacking, 'model.safetensors'));
    expect(await codeOf(staticVectors(lacking))).toBe('MODEL_NOT_FOUND');
    const silent = folderOf('word-piece', 'silent');
    rmSync(join(silent, 'tokenizer.json'));
    expect(await codeOf(staticVectors(silent))).toBe('MODEL_NOT_FOUND');
    const wrong = folderOf('word-piece', 'wrong');
    writeFileSync(join(wrong, 'config.json'), '{"normalize": 1');
    expect(await codeOf(staticVectors(wrong))).toBe('MODEL_FORMAT');
    expect(await codeOf(staticVectors(`${fixtures}encoders/bert`))).toBe('UNSUPPORTED_ARCHITECTURE');
    const fewer = folderOf('half', 'fewer');
    cpSync(`${fixtures}tiny-llama/tokenizer.json`, join(fewer, 'tokenizer.json'));
    expect(await codeOf(staticVectors(fewer))).toBe('MODEL_FORMAT');
  });

  it('says what is wrong of a call, and stops at an abort', async () => {
    const words = await staticVectors(folderOf('half', 'calls'));
    const reason = new Error('enough');
    await expect(words.embed(texts, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    for (const call of [
      () => words.embed(5 as never),
      () => words.embed(['a', '\ud800']),
      () => words.embed('a', { maxTokens: 0 }),
      () => words.embed('a', { other: 1 } as never),
    ]) {
      expect(await codeOf(call())).toBe('INVALID_OPTION');
    }
    expect(await words.embed([])).toEqual([]);
    await words.dispose();
    expect(await codeOf(words.embed('a'))).toBe('DISPOSED');
  });
});
