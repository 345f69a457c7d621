/** Word vectors from files: what gensim reads from them, its nearest words and analogies; damaged files are refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KvasirError, type NearWord, staticVectors } from '../../lib/index.js';

type Pairs = [string, number][];
interface Golden {
  words: string[];
  first: number[];
  nearest: Record<string, Pairs>;
  vector: number[];
  nearestToVector: Pairs;
  analogies: { words: [string, string, string]; near: Pairs }[];
}

const fixtures = fileURLToPath(new URL('../fixtures/word-vectors/', import.meta.url));
const golden: Golden = JSON.parse(readFileSync(join(fixtures, 'golden.json'), 'utf8'));
const files = ['word2vec.bin', 'word2vec.txt', 'glove.txt'];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-words-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function expectNear(got: NearWord[], expected: Pairs): void {
  expect(got.map(({ word }) => word)).toEqual(expected.map(([word]) => word));
  for (const [i, { score, index, word }] of got.entries()) {
    expect(score).toBeCloseTo(expected[i][1], 5);
    expect(golden.words[index]).toBe(word);
  }
}

async function codeOf(content: string | Buffer, options = {}): Promise<string | undefined> {
  const path = join(folder, 'file');
  writeFileSync(path, content);
  try {
    const words = await staticVectors(path, options);
    await words.dispose();
    return undefined;
  } catch (error) {
    return error instanceof KvasirError ? error.code : String(error);
  }
}

describe('staticVectors', () => {
  it.each(files)('reads %s as gensim does, and finds the same words', async (file) => {
    await using words = await staticVectors(join(fixtures, file));
    expect([words.size, words.dimensions]).toEqual([300, 20]);
    expect(words.words).toEqual(golden.words);
    expect(words.vector('naïve')).toEqual(Float32Array.from(golden.first));
    expect([words.has('naïve'), words.has('naive'), words.vector('naive')]).toEqual([true, false, undefined]);
    for (const [word, near] of Object.entries(golden.nearest)) expectNear(await words.nearest(word), near);
    expectNear(await words.nearest(golden.vector), golden.nearestToVector);
    for (const { words: triple, near } of golden.analogies) expectNear(await words.analogy(...triple), near);
    const all = await words.nearest('word1', 1000);
    expect(all).toHaveLength(299);
    expect(all.every(({ score }, i) => i === 0 || score <= all[i - 1].score)).toBe(true);
  });

  it('misses no word whose INT8 vector is far off', async () => {
    // One large component leaves nothing of the others in INT8: all these have the same stored direction.
    const rows = Array.from({ length: 2000 }, (_, i) => [1, ((i * 7919) % 2000) / 1e6, 1e-9]);
    const path = join(folder, 'spikes');
    writeFileSync(path, rows.map((row, i) => `w${i} ${row.join(' ')}`).join('\n'));
    await using words = await staticVectors(path);
    const nearest = await words.nearest([1, 1e-3, 0], 3);
    const exact = rows
      .map((row, i) => ({ i, off: Math.abs(row[1] - 1e-3) }))
      .sort((a, b) => a.off - b.off || a.i - b.i);
    expect(nearest[0].index).toBe(exact[0].i);
    expect(new Set(nearest.map(({ index }) => index))).toEqual(new Set(exact.slice(0, 3).map(({ i }) => i)));
  });

  it('reads as many words as asked for, the first of two, and words with spaces', async () => {
    const path = join(folder, 'some');
    writeFileSync(path, 'a 1 2\r\nb 3 -4e-1 \na 5 6\n. . . 7 8');
    await using words = await staticVectors(path);
    expect(words.words).toEqual(['a', 'b', '. . .']);
    expect(words.vector('a')).toEqual(Float32Array.of(1, 2));
    expect(words.vector('b')).toEqual(Float32Array.of(3, -0.4));
    expect(words.vector('. . .')).toEqual(Float32Array.of(7, 8));
    await using first = await staticVectors(join(fixtures, 'word2vec.bin'), { limit: 7 });
    expect(first.words).toEqual(golden.words.slice(0, 7));
  });

  it('refuses every cut of a binary file, and of a text file in its numbers', async () => {
    const binary = readFileSync(join(fixtures, 'word2vec.bin'));
    const text = readFileSync(join(fixtures, 'word2vec.txt'));
    for (let cut = 1; cut <= 200; cut += 9) {
      expect([cut, await codeOf(binary.subarray(0, -cut))]).toEqual([cut, 'MODEL_FORMAT']);
      expect([cut, await codeOf(binary.subarray(0, cut))]).toEqual([cut, 'MODEL_FORMAT']);
    }
    // The last line without its end, and without itself.
    const last = text.lastIndexOf('\n', text.length - 2);
    expect(await codeOf(text.subarray(0, last + 40))).toBe('MODEL_FORMAT');
    expect(await codeOf(text.subarray(0, last + 1))).toBe('MODEL_FORMAT');
  });

  it('refuses what is damaged or foreign', async () => {
    const binary = readFileSync(join(fixtures, 'word2vec.bin'));
    const withNaN = Buffer.from(binary);
    withNaN.writeFloatLE(Number.NaN, binary.length - 4);
    const wrong: (string | Buffer)[] = [
      ...[
        '',
        '\n',
        'word',
        'word 1',
        'a b c\n',
        '{"a": [1, 2]}',
        '3 0\n',
        '0 3\n',
        '99999999999 3\na 1 2 3\n',
      ],
      ...[
        'a 1 2\nb 3\n',
        'a 1 2\nb 3 x\n',
        'a 1 2\nb 3 0x10\n',
        'a 1 2\nb 3 1e39\n',
        'a 1 2\nb 3 nan\n',
        'a 1 2\n 3 4\n',
      ],
      ...[
        '2 2\na 1 2\n',
        '2 2\na 1 2\nb 3 4\nc 5 6\n',
        `1 2\n${'w'.repeat(20_000)} 1 2\n`,
        'x'.repeat(3_000_000),
      ],
      Buffer.concat([Buffer.from('a 1 2\n'), Buffer.of(0xff, 0xfe), Buffer.from(' 1 2\n')]),
      Buffer.concat([binary, Buffer.from('more 1234')]),
      withNaN,
    ];
    for (const [i, content] of wrong.entries())
      expect([i, await codeOf(content)]).toEqual([i, 'MODEL_FORMAT']);
    await expect(staticVectors(folder)).rejects.toMatchObject({ code: 'MODEL_FORMAT' });
    await expect(staticVectors(join(folder, 'absent'))).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });

  it('says what is wrong of a call, and stops at an abort', async () => {
    for (const options of [{ limit: 0 }, { threads: 'x' }, { other: 1 }]) {
      expect(await codeOf('a 1 2\n', options)).toBe('INVALID_OPTION');
    }
    const words = await staticVectors(join(fixtures, 'glove.txt'));
    const calls = [
      () => words.nearest('no such word'),
      () => words.nearest([1, 2]),
      () => words.nearest('word1', 0),
      () => words.nearest('word1', 1, { a: 1 } as never),
      () => words.analogy('word1', 'word2', 'no such word'),
      () => words.nearest(5 as never),
      () => staticVectors(''),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const reason = new Error('enough');
    const aborted = { signal: AbortSignal.abort(reason) };
    await expect(words.nearest('word1', 1, aborted)).rejects.toBe(reason);
    await expect(staticVectors(join(fixtures, 'glove.txt'), aborted)).rejects.toBe(reason);
    await words.dispose();
    await expect(words.nearest('word1')).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});
