/** Embeddings over the fake native model, against pooling computed by itself. */
import { describe, expect, it } from 'vitest';
import { chunksOf, type Embedder, embedTexts } from '../../lib/embed/embed.js';
import { type EmbedOptions, parseEmbedOptions, plainDefaults } from '../../lib/embed/embed-options.js';
import { type Pooling, poolings } from '../../lib/embed/pooling.js';
import { type Bench, bench, EOS, range, turns, VOCAB } from './engine-bench.js';
import { fakeHidden, fakeLogits } from './engine-fake.js';

const SIZE = 4;
const hiddenAt = (ids: readonly number[], i: number) => [
  ...fakeHidden(fakeLogits(ids.slice(0, i + 1), VOCAB, EOS)),
];

/** A text is its token ids, separated by spaces; 298 ends what has a special end. */
function embedderOf(made: Bench): Embedder {
  return {
    engine: made.engine,
    contextLength: made.contextLength,
    size: SIZE,
    encode: async (text) => Int32Array.from(text.split(' ').filter(Boolean), Number),
    isSpecial: (id) => id === 298,
  };
}

const embedded = (made: Bench, texts: string[], options: EmbedOptions = {}, defaults = plainDefaults) =>
  embedTexts(embedderOf(made), texts, parseEmbedOptions(options, defaults, SIZE));

/** [SIZE] by the definitions, from row `first` on. */
function pooled(ids: number[], pooling: Pooling, first = 0): number[] {
  const rows = ids.map((_, i) => hiddenAt(ids, i));
  const used = rows.slice(first);
  const column = (k: number) => used.map((row) => row[k]);
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  return Array.from({ length: SIZE }, (_, k) => {
    if (pooling === 'cls') return rows[0][k];
    if (pooling === 'last') return rows[rows.length - 1][k];
    if (pooling === 'max') return Math.max(...column(k));
    if (pooling === 'mean') return sum(column(k)) / used.length;
    if (pooling === 'mean-sqrt-length') return sum(column(k)) / Math.sqrt(used.length);
    return sum(column(k).map((value, i) => value * (i + 1))) / sum(used.map((_, i) => i + 1));
  });
}

const close = (got: Float32Array, expected: number[]) => {
  expect(got).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(got[i]).toBeCloseTo(value, 5);
};
const unit = (vector: number[]) => vector.map((value) => value / Math.hypot(...vector));

describe('embed', () => {
  it.each(poolings)('pools by %s, texts of any lengths beside a neighbour', async (pooling) => {
    const made = bench();
    const lists = [1, 2, 17, 300, 5, 64].map((length, i) => range(i, length));
    const neighbour = made.generate(range(8, 30), { maxTokens: 20 });
    const vectors = await embedded(
      made,
      lists.map((ids) => ids.join(' ')),
      { pooling, normalize: false },
    );
    lists.forEach((ids, i) => {
      close(vectors[i], pooled(ids, pooling));
    });
    expect(vectors.tokens).toBe(389);
    expect(vectors.shortened).toEqual([]);
    await neighbour;
    expect(made.native.liveSequences).toBe(1);
  });

  it('a vector does not depend on its company', async () => {
    const lists = Array.from({ length: 40 }, (_, i) => range(i, 1 + ((i * 13) % 90)).join(' '));
    const together = await embedded(bench(), lists);
    for (const i of [0, 7, 39]) expect((await embedded(bench(), [lists[i]]))[0]).toEqual(together[i]);
  });

  it('normalises, after cutting to dimensions', async () => {
    const ids = range(3, 9);
    const [whole] = await embedded(bench(), [ids.join(' ')]);
    close(whole, unit(pooled(ids, 'mean')));
    const [two] = await embedded(bench(), [ids.join(' ')], { dimensions: 2 });
    close(two, unit(pooled(ids, 'mean').slice(0, 2)));
  });

  it('puts a prompt before each text, by name or as it is, and leaves it out of the pooling where the model says so', async () => {
    const defaults = { ...plainDefaults, prompts: { query: '5 6 298' }, normalize: false };
    const ids = [5, 6, 298, 9, 10];
    for (const prompt of ['query', '5 6 298 ']) {
      const [vector] = await embedded(bench(), [' 9 10'], { prompt }, defaults);
      close(vector, pooled(ids, 'mean'));
    }
    const [own] = await embedded(bench(), [' 9 10'], {}, { ...defaults, defaultPrompt: 'query' });
    close(own, pooled(ids, 'mean'));
    const [none] = await embedded(
      bench(),
      [' 9 10'],
      { prompt: '' },
      { ...defaults, defaultPrompt: 'query' },
    );
    close(none, pooled([9, 10], 'mean'));
    // The prompt's last token is special: it would not be there before a text.
    const [without] = await embedded(
      bench(),
      [' 9 10'],
      { prompt: 'query' },
      { ...defaults, includePrompt: false },
    );
    close(without, pooled(ids, 'mean', 2));
  });

  it('a text beyond the context is refused, cut or taken in pieces, and the result says so', async () => {
    const made = bench({}, 64);
    const long = range(3, 150);
    const texts = ['1 2', long.join(' ')];
    const options = { normalize: false };
    await expect(embedded(made, texts, options)).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
      details: { tokens: 150, limit: 64 },
    });
    const cut = await embedded(made, texts, { ...options, overflow: 'truncate' });
    close(cut[1], pooled(long.slice(0, 64), 'mean'));
    expect(cut.shortened).toEqual([{ index: 1, tokens: 150, kept: 64, pieces: 1 }]);
    const pieces = chunksOf(Int32Array.from(long), 64);
    expect(pieces).toHaveLength(3);
    const chunked = await embedded(made, texts, { ...options, overflow: 'chunk' });
    const parts = pieces.map((piece) =>
      unit(pooled([...piece], 'mean')).map((x) => (x * piece.length) / 150),
    );
    close(
      chunked[1],
      [0, 1, 2, 3].map((k) => parts.reduce((sum, part) => sum + part[k], 0)),
    );
    expect(chunked.shortened).toEqual([{ index: 1, tokens: 150, kept: 150, pieces: 3 }]);
  });

  it('reports progress over more texts than it sorts at a time, in order', async () => {
    const texts = Array.from({ length: 1100 }, (_, i) => `${i % 290} ${(i * 7) % 290}`);
    const seen: number[] = [];
    const vectors = await embedded(bench(), texts, {
      onProgress: ({ done, total }) => {
        expect(total).toBe(1100);
        seen.push(done);
      },
      normalize: false,
    });
    expect(seen).toEqual(Array.from({ length: 1100 }, (_, i) => i + 1));
    for (const i of [0, 511, 512, 1099]) close(vectors[i], pooled(texts[i].split(' ').map(Number), 'mean'));
  });

  it('one failure ends all, and nothing runs on', async () => {
    const made = bench({ stepMs: 1 });
    const stop = new AbortController();
    const reason = new Error('enough');
    const texts = Array.from({ length: 400 }, (_, i) => range(i, 50).join(' '));
    const onProgress = () => stop.abort(reason);
    await expect(embedded(made, texts, { signal: stop.signal, onProgress })).rejects.toBe(reason);
    await turns(200);
    const { length } = made.native.steps;
    await turns(200);
    expect(made.native.steps.length).toBe(length);
    expect(made.native.liveSequences).toBe(0);
    await expect(embedded(made, ['1', ''])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(await embedded(made, [])).toHaveLength(0);
  });
});

describe('chunks', () => {
  it('cover every token, overlap, and are never longer than the context', () => {
    for (const length of [2, 7, 8, 64, 100]) {
      for (let n = length + 1; n < 6 * length; n += 3) {
        const pieces = chunksOf(
          Int32Array.from({ length: n }, (_, i) => i),
          length,
        );
        expect(pieces[0][0]).toBe(0);
        expect(pieces.at(-1)?.at(-1)).toBe(n - 1);
        for (const [i, piece] of pieces.entries()) {
          expect(piece.length).toBeLessThanOrEqual(length);
          const before = i > 0 ? pieces[i - 1] : undefined;
          if (before) expect(piece[0]).toBe((before.at(-1) as number) + 1 - Math.floor(length / 8));
        }
      }
    }
  });
});
