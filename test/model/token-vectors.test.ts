/** The token table of a loaded model as static vectors: its rows, nearest tokens and analogies, from FP32 and INT8. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { KvasirError, Model, similarity } from '../../lib/index.js';
import { native, packageRoot } from '../../lib/native.js';
import { fixtures } from './golden.js';

/** The stored rows of a table [rows, size]. */
async function storedRows(folder: string, tensor: string, rows: number): Promise<Float32Array> {
  const container = await native().openContainer([join(folder, 'model.safetensors')]);
  try {
    return await container.readRows(tensor, 0, rows);
  } finally {
    container.close();
  }
}

it.each([
  ['a decoder', join(packageRoot, 'models', 'stories-260k'), 'model.embed_tokens.weight'],
  ['an encoder', `${fixtures}encoders/bert`, 'embeddings.word_embeddings.weight'],
])('%s: words are its tokens, vectors its rows', async (_name, folder, tensor) => {
  await using model = await Model.load(folder, { dtype: 'fp32' });
  await using words = await model.tokenVectors();
  const { hiddenSize } = model.info;
  expect([words.size, words.dimensions]).toEqual([model.tokenizer.vocabSize, hiddenSize]);
  const rows = await storedRows(folder, tensor, words.size);
  const rowOf = (id: number) => rows.slice(id * hiddenSize, (id + 1) * hiddenSize);
  for (const [id, word] of words.words.entries()) expect([id, words.vector(word)]).toEqual([id, rowOf(id)]);
  const asked = words.words[200 % words.size]!;
  const nearest = await words.nearest(asked, 10);
  const query = words.vector(asked)!;
  const expected = words.words
    .map((word, index) => ({ word, index, score: similarity(query, rowOf(index)) }))
    .filter(({ word }) => word !== asked)
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .slice(0, 10);
  expect(nearest.map(({ word, index }) => [word, index])).toEqual(
    expected.map(({ word, index }) => [word, index]),
  );
  for (const [i, { score }] of nearest.entries()) expect(score).toBeCloseTo(expected[i]!.score, 6);
  const [a, b, c] = [words.words[120]!, words.words[130]!, words.words[140]!];
  expect(await words.analogy(a, b, c, 3)).toHaveLength(3);
  await expect(words.embed('a')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

it('INT8 rows are near those of FP32, and reading them goes on beside other requests', async () => {
  const folder = join(packageRoot, 'models', 'stories-260k');
  await using model = await Model.load(folder, { dtype: 'int8' });
  const generating = model.generate('Once upon a time', { maxTokens: 60, temperature: 0, ignoreEos: true });
  await using words = await model.tokenVectors({ threads: 1 });
  const rows = await storedRows(folder, 'model.embed_tokens.weight', words.size);
  const { hiddenSize } = model.info;
  const cosines = words.words.map((word, id) =>
    similarity(words.vector(word)!, rows.slice(id * hiddenSize, (id + 1) * hiddenSize)),
  );
  expect(Math.min(...cosines)).toBeGreaterThan(0.999);
  expect(cosines.some((cosine) => cosine < 1)).toBe(true);
  expect((await generating).tokens).toHaveLength(60);
});

it('stops at an abort, and after the end of the model', async () => {
  const model = await Model.load(join(packageRoot, 'models', 'stories-260k'));
  const reason = new Error('enough');
  await expect(model.tokenVectors({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  await expect(model.tokenVectors({ threads: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  const words = await model.tokenVectors();
  await model.dispose();
  expect(await words.nearest(words.words[300]!, 1)).toHaveLength(1);
  await words.dispose();
  await expect(model.tokenVectors()).rejects.toBeInstanceOf(KvasirError);
});
