/** The public index of vectors: what it finds, in which order, its file, and what it refuses. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KvasirError, type KvasirErrorCode, similarity, VectorIndex } from '../../lib/index.js';

/** Normally distributed, the same each time. */
function bells(count: number, seed: number): Float32Array {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  });
}

const rowOf = (vectors: Float32Array, dimensions: number, row: number) =>
  vectors.subarray(row * dimensions, (row + 1) * dimensions);

/** Places of the k largest cosines in float64. */
function brute(vectors: Float32Array, query: Float32Array, k: number): number[] {
  const scores: number[] = [];
  for (let from = 0; from < vectors.length; from += query.length) {
    let [dot, length] = [0, 0];
    for (let i = 0; i < query.length; i++) {
      const value = vectors[from + i];
      dot += value * query[i];
      length += value * value;
    }
    scores.push(dot / Math.sqrt(length));
  }
  return [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b).slice(0, k);
}

async function codeOf(promise: Promise<unknown>): Promise<KvasirErrorCode | undefined> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  return error instanceof KvasirError ? error.code : undefined;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-vectors-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('similarity', () => {
  it('is the cosine', () => {
    expect(similarity([3, 4], [4, 3])).toBeCloseTo(24 / 25, 15);
    expect(similarity(Float32Array.of(1, 0), [0, 2])).toBe(0);
    expect(similarity([1, 1], [-2, -2])).toBeCloseTo(-1, 15);
    expect(similarity([0, 0], [1, 2])).toBe(0);
  });
  it('refuses what is no pair of vectors', () => {
    for (const [a, b] of [
      [[1], [1, 2]],
      [[], []],
      [[Number.NaN], [1]],
      [['1'], [1]],
      [null, [1]],
      [[1e39], [1]],
    ]) {
      expect(() => similarity(a as number[], b as number[])).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      );
    }
  });
});

describe('VectorIndex', () => {
  it('has a recall of at least 0.97 against float32 on random vectors, and 1 against its own', async () => {
    const [dimensions, count, k] = [384, 2000, 10];
    const vectors = bells(dimensions * count, 1);
    const queries = bells(dimensions * 30, 2);
    await using index = new VectorIndex(dimensions);
    await index.add(vectors);
    expect([index.size, index.dimensions]).toEqual([count, dimensions]);
    const path = join(folder, 'recall');
    await index.save(path);
    // What it holds, from its file: parts of 2^20 / 384 vectors without ids.
    const stored = Float32Array.from(new Int8Array(readFileSync(path).subarray(72)));
    let [found, own] = [0, 0];
    for (let q = 0; q < 30; q++) {
      const query = rowOf(queries, dimensions, q);
      const hits = (await index.search(query, k)).map((hit) => hit.index);
      found += brute(vectors, query, k).filter((place) => hits.includes(place)).length;
      own += brute(stored, query, k).filter((place) => hits.includes(place)).length;
    }
    expect(found / (30 * k)).toBeGreaterThanOrEqual(0.97);
    expect(own).toBe(30 * k);
  });

  it('answers many searches at once as one by one, equal scores by place', async () => {
    await using index = new VectorIndex(8);
    const vectors = bells(8 * 300, 3);
    for (const copy of [50, 200]) vectors.copyWithin(8 * copy, 0, 8);
    await index.add(
      vectors,
      Array.from({ length: 300 }, (_, i) => 10 * i),
    );
    const queries = Array.from({ length: 100 }, (_, i) => bells(8, 100 + i));
    queries[0] = vectors.slice(0, 8);
    const alone = [];
    for (const query of queries) alone.push(await index.search(query, 5));
    expect(await Promise.all(queries.map((query) => index.search(query, 5)))).toEqual(alone);
    expect(alone[0].slice(0, 3).map(({ index, id }) => [index, id])).toEqual([
      [0, 0],
      [50, 500],
      [200, 2000],
    ]);
    expect(alone[0][0].score).toBeCloseTo(1, 4);
    expect(await index.search(queries[1], 1000)).toHaveLength(300);
  });

  it('takes calls in their order, and what they were given at the call', async () => {
    await using index = new VectorIndex(2);
    const vector = Float32Array.of(1, 0);
    const added = index.add(vector);
    vector.set([0, 1]);
    const first = index.search([1, 0], 3);
    const second = index.add([[0, 1]]);
    const all = index.search([1, 0], 3);
    expect(await first).toEqual([{ index: 0, id: 0, score: expect.closeTo(1, 6) }]);
    expect((await all).map(({ index }) => index)).toEqual([0, 1]);
    await Promise.all([added, second]);
    expect(index.size).toBe(2);
  });

  it('adds all or nothing, past the first of several parts', async () => {
    const dimensions = 4096;
    await using index = new VectorIndex(dimensions);
    await index.add(bells(dimensions, 4));
    const vectors = bells(dimensions * 150, 5);
    vectors[dimensions * 140 + 3] = Number.NaN;
    expect(await codeOf(index.add(vectors))).toBe('INVALID_OPTION');
    expect(index.size).toBe(1);
    expect(await index.search(bells(dimensions, 6), 10)).toHaveLength(1);
  });

  it('is the same from its file, with ids and without', async () => {
    for (const ids of [undefined, Float64Array.from({ length: 5000 }, (_, i) => 2 ** 53 - 1 - i)]) {
      await using index = new VectorIndex(300);
      await index.add(bells(300 * 5000, 7), ids);
      const path = join(folder, `index-${ids === undefined}`);
      await index.save(path);
      await index.save(path);
      await using copy = await VectorIndex.load(path, { threads: 1 });
      expect([copy.size, copy.dimensions]).toEqual([5000, 300]);
      const query = bells(300, 8);
      const hits = await copy.search(query, 20);
      expect(hits).toEqual(await index.search(query, 20));
      if (ids) expect(hits.every(({ index, id }) => id === ids[index])).toBe(true);
    }
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('refuses every cut of its file, every flipped bit and what is foreign', async () => {
    await using index = new VectorIndex(5);
    await index.add(bells(5 * 3, 9), [1, 2, 3]);
    const path = join(folder, 'sound');
    await index.save(path);
    const bytes = readFileSync(path);
    expect(bytes.length).toBe(72 + 3 * (5 + 8));
    const wrong: Buffer[] = Array.from({ length: bytes.length }, (_, length) => bytes.subarray(0, length));
    for (let i = 0; i < bytes.length; i++) {
      const flipped = Buffer.from(bytes);
      flipped[i] ^= 1 << (i % 8);
      wrong.push(flipped);
    }
    wrong.push(
      Buffer.concat([bytes, Buffer.of(0)]),
      Buffer.alloc(5000),
      Buffer.from('{"dimensions": 5}'.repeat(20)),
    );
    // An id that is none, under a hash that fits.
    const forged = Buffer.from(bytes);
    forged.writeDoubleLE(1.5, 72 + 15);
    createHash('sha256').update(forged.subarray(0, 40)).update(forged.subarray(72)).digest().copy(forged, 40);
    wrong.push(forged);
    for (const [i, content] of wrong.entries()) {
      const file = join(folder, 'wrong');
      writeFileSync(file, content);
      expect([i, await codeOf(VectorIndex.load(file))]).toEqual([i, 'MODEL_FORMAT']);
    }
    expect(await codeOf(VectorIndex.load(folder))).toBe('MODEL_FORMAT');
    expect(await codeOf(VectorIndex.load(join(folder, 'absent')))).toBe('MODEL_NOT_FOUND');
    expect(await codeOf(index.save(join(folder, 'absent', 'index')))).toBe('INVALID_OPTION');
  });

  it('says what is wrong of what it is given', async () => {
    for (const dimensions of [0, 1.5, 65_537, '3', undefined]) {
      expect(() => new VectorIndex(dimensions as number)).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      );
    }
    await using index = new VectorIndex(3);
    const wrong: (() => Promise<unknown>)[] = [
      () => index.search([1, 2, 3]),
      () => index.add([1, 2, 3] as never),
      () => index.add([[1, 2]]),
      () => index.add(Float32Array.of(1, 2, 3, 4)),
      () => index.add(Float32Array.of(1, Number.POSITIVE_INFINITY, 3)),
      () => index.add([[1, 2, 3]], []),
      () => index.add([[1, 2, 3]], [-1]),
      () => index.add([[1, 2, 3]], [2 ** 53]),
      () => index.add([[1, 2, 3]], ['1'] as never),
      () => index.add([[1, 2, Number.NaN]]),
    ];
    for (const call of wrong) expect(await codeOf(call())).toBe('INVALID_OPTION');
    await index.add([]);
    await index.add([[1, 2, 3]]);
    for (const k of [0, -1, 1.5, 65_537, Number.NaN, '1']) {
      expect(await codeOf(index.search([1, 2, 3], k as number))).toBe('INVALID_OPTION');
    }
    for (const query of [[1, 2], [1, 2, Number.NaN], 'abc', null, new Float64Array(3)]) {
      expect(await codeOf(index.search(query as number[]))).toBe('INVALID_OPTION');
    }
    expect(await codeOf(index.search([1, 2, 3], 1, { limit: 1 } as never))).toBe('INVALID_OPTION');
  });

  it('stops at an abort, refuses when too many wait, and ends with what was asked before', async () => {
    const index = new VectorIndex(64);
    await index.add(bells(64 * 2000, 11));
    const query = bells(64, 12);
    const reason = new Error('enough');
    await expect(index.search(query, 3, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const aborted = index.search(query, 3, { signal: controller.signal });
    const beside = index.search(query, 3);
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    expect(await beside).toHaveLength(3);
    const many = Array.from({ length: 4100 }, () => index.search(query, 1));
    const settled = await Promise.allSettled(many);
    const refused = settled.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(refused).toHaveLength(4);
    for (const { reason } of refused) expect(reason.code).toBe('BUSY');
    const last = index.search(query, 2);
    const disposed = index.dispose();
    expect(await last).toHaveLength(2);
    await disposed;
    await index.dispose();
    expect(await codeOf(index.add([[1]]))).toBe('DISPOSED');
    expect(await codeOf(index.search(query))).toBe('DISPOSED');
    expect(await codeOf(index.save(join(folder, 'late')))).toBe('DISPOSED');
  });
});
