/**
 * The arithmetic contract (docs/contract.md), through the public native border: a row of logits depends on its
 * sequence's tokens alone. Not on how they were chunked, on neighbours, threads, a shared prefix or the kernel table.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KvDtype, NativeModel } from '../../lib/native.js';
import { isNightly } from '../nightly.js';
import { expectSameBits, fixtures } from './golden.js';
import {
  type Described,
  describeAt,
  joined,
  kernels,
  type LoadSettings,
  loadNative,
  logitsOf,
  type Part,
  step,
  withModel,
} from './native-model.js';
import { needsSmollm2, smollm2 } from './smollm2-model.js';

/** Seeded (mulberry32): token ids that no two sequences share. */
function randomTokens(seed: number, n: number, vocab: number): number[] {
  let state = seed;
  return Array.from({ length: n }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % vocab;
  });
}

interface Subject {
  name: string;
  model: Described;
  /** Tokens of the main sequence: more than a page of 64, and where the model allows more than a chunk of 256. */
  n: number;
  kv?: KvDtype;
  dtype: 'int8' | 'fp32';
}

const nBatch = 8;
/** Neighbours are of all lengths, together more than the 512 tokens that native runs at once. */
const lengthOf = (i: number, n: number) => Math.max(1, Math.round((n * (7 * i + 1)) % n) || n);

function cutInto(tokens: readonly number[], sizes: readonly number[]): number[][] {
  const parts: number[][] = [];
  let at = 0;
  for (const size of [...sizes, tokens.length]) {
    if (at < tokens.length) parts.push(tokens.slice(at, at + size));
    at += size;
  }
  return parts;
}

/** Feeds one sequence in these parts, a step each. */
async function inParts(model: NativeModel, parts: readonly number[][], sequence = model.createSequence()) {
  const rows: Float32Array[] = [];
  for (const tokens of parts) rows.push(...(await step(model, [{ sequence, tokens }])));
  model.freeSequence(sequence);
  return joined(rows);
}

/** Of the scalar table, which takes most of the time, pages without a chunk; nightly as much as of the others. */
const tokensOf = ({ n }: Subject, isa: string) => (isa === 'scalar' && !isNightly ? Math.min(n, 140) : n);

/** What each table says of the whole sequence fed at once: compared with each other at the end. */
const truths = new Map<string, Float32Array>();

function testContract(subject: Subject, isa: string): void {
  const { name, model: described, dtype, kv = dtype } = subject;
  const { vocabSize } = described.spec;
  const n = tokensOf(subject, isa);
  const prompt = randomTokens(1, n, vocabSize);
  const settings: LoadSettings = {
    isa,
    dtype,
    kvDtype: kv,
    contextLength: Math.min(described.spec.maxPositions, 512),
    kvCapacity: (nBatch + 2) * Math.ceil((n + 4) / 64) * 64 + 512,
  };
  let model: NativeModel;
  let whole: Float32Array;

  beforeAll(async () => {
    model = await loadNative(described, settings);
    whole = joined(await logitsOf(model, prompt));
    truths.set(`${name} ${isa}`, whole);
  });
  afterAll(() => model?.dispose());

  it(`prefill(${n}) is ${n} decode steps`, async () => {
    expectSameBits(await inParts(model, cutInto(prompt, Array(n).fill(1))), whole, 'decoded');
  });

  it('chunked is whole', async () => {
    for (const sizes of [
      [1, 62, 2, 13],
      [64, 7],
      [n - 1, 1],
    ]) {
      expectSameBits(await inParts(model, cutInto(prompt, sizes)), whole, `chunks of ${sizes}`);
    }
  });

  it('each of a batch of 8 is itself alone, prefilled and then decoded', async () => {
    const texts = Array.from({ length: nBatch }, (_, i) =>
      randomTokens(100 + i, lengthOf(i, n - 4) + 4, vocabSize),
    );
    const alone: Float32Array[] = [];
    for (const text of texts) alone.push(joined(await logitsOf(model, text)));
    const sequences = texts.map(() => model.createSequence());
    const rows: Float32Array[][] = texts.map(() => []);
    const cuts = texts.map((text) => cutInto(text, [text.length - 4, 1, 1, 1, 1]));
    for (let turn = 0; turn < 5; ++turn) {
      const parts: Part[] = sequences.map((sequence, i) => ({ sequence, tokens: cuts[i]![turn]! }));
      const result = await step(model, parts);
      for (const [i, { tokens }] of parts.entries()) rows[i]!.push(...result.splice(0, tokens.length));
    }
    for (const sequence of sequences) model.freeSequence(sequence);
    for (const [i, text] of texts.entries()) {
      expectSameBits(joined(rows[i]!), alone[i]!, `sequence ${i} of ${text.length} tokens`);
    }
  });

  it('a prefix hit is a miss, and harms neither side', async () => {
    const source = model.createSequence();
    await step(model, [{ sequence: source, tokens: prompt }], 'last');
    for (const length of [1, 63, 64, 65, n - 1]) {
      const fork = model.forkSequence(source, length);
      const rest = await inParts(model, [prompt.slice(length)], fork);
      expectSameBits(rest, whole.slice(length * vocabSize), `after a prefix of ${length}`);
    }
    // A fork that went another way must not have written into shared pages.
    const strange = model.forkSequence(source, 70);
    await step(model, [{ sequence: strange, tokens: randomTokens(9, 3, vocabSize) }], 'last');
    model.freeSequence(strange);
    const next = randomTokens(10, 2, vocabSize);
    const continued = await inParts(model, [next], source);
    const miss = joined((await logitsOf(model, [...prompt, ...next])).slice(n));
    expectSameBits(continued, miss, 'the source after its forks');
  });

  it('what was truncated leaves no trace', async () => {
    const sequence = model.createSequence();
    await step(model, [{ sequence, tokens: prompt.slice(0, 66) }], 'last');
    await step(model, [{ sequence, tokens: randomTokens(11, n - 66, vocabSize) }], 'last');
    model.truncateSequence(sequence, 66);
    expectSameBits(
      await inParts(model, [prompt.slice(66)], sequence),
      whole.slice(66 * vocabSize),
      'fed again',
    );
  });

  it('one thread is two, and three', async () => {
    for (const threads of [1, 3]) {
      const other = await withModel(described, { ...settings, threads }, (loaded) =>
        logitsOf(loaded, prompt),
      );
      expectSameBits(joined(other), whole, `${threads} threads`);
    }
  });
}

const tinyLlama = await describeAt(`${fixtures}tiny-llama`);
const embedded: Subject[] = (['fp32', 'int8'] as const).flatMap((dtype) => [
  { name: `tiny-llama ${dtype}`, model: tinyLlama, n: 300, dtype },
  {
    name: `tiny-llama ${dtype}, the cache in the other`,
    model: tinyLlama,
    n: 140,
    dtype,
    kv: dtype === 'int8' ? 'fp32' : 'int8',
  },
  { name: `tiny-llama ${dtype}, the cache in fp16`, model: tinyLlama, n: 140, dtype, kv: 'fp16' },
]);
for (const dtype of ['fp32', 'int8'] as const) {
  embedded.push(
    { name: `stories-260k ${dtype}`, model: await describeAt('stories-260k'), n: 300, dtype },
    { name: `tiny-gpt2 ${dtype}`, model: await describeAt(`${fixtures}tiny-gpt2`), n: 120, dtype },
  );
}

/** The same in few tokens. The scalar table needs a second for one of FP32. */
function testLargeModel(dtype: 'int8' | 'fp32', isa: string): void {
  const n = isa === 'scalar' ? 3 : 70;
  const vocabSize = smollm2?.spec.vocabSize ?? 1;
  const prompt = randomTokens(2, n, vocabSize);
  const settings: LoadSettings = { isa, dtype, contextLength: 128, kvCapacity: 12 * 128 };
  const lastRow = async (
    model: NativeModel,
    cuts: readonly number[][],
    sequence = model.createSequence(),
  ) => {
    let row: Float32Array[] = [];
    for (const tokens of cuts) row = await step(model, [{ sequence, tokens }], 'last');
    model.freeSequence(sequence);
    return row[0]!;
  };
  let model: NativeModel;
  let whole: Float32Array[];

  beforeAll(async () => {
    model = await loadNative(smollm2!, settings);
    whole = await logitsOf(model, prompt, [1, n - 1]);
    truths.set(`SmolLM2 ${dtype} ${isa}`, whole[0]!);
  });
  afterAll(() => model?.dispose());

  it(`prefill(${n}) is ${n} decode steps`, async () => {
    expectSameBits(await lastRow(model, cutInto(prompt, Array(n).fill(1))), whole[1]!, 'decoded');
  });
  it('chunked is whole', async () => {
    expectSameBits(await lastRow(model, cutInto(prompt, [Math.ceil(n / 2)])), whole[1]!, 'two chunks');
  });
  it('in a batch of 8 it is itself alone', async () => {
    const neighbour = (i: number) => randomTokens(200 + i, isa === 'scalar' ? 1 : 9 * i + 1, vocabSize);
    const texts = Array.from({ length: nBatch }, (_, i) => (i === 5 ? prompt : neighbour(i)));
    const rows = await step(
      model,
      texts.map((tokens) => ({ sequence: model.createSequence(), tokens })),
      'last',
    );
    expectSameBits(rows[5]!, whole[1]!, 'in the batch');
    expectSameBits(rows[7]!, await lastRow(model, [texts[7]!]), 'its neighbour');
  });
  it('a prefix hit is a miss', async () => {
    const source = model.createSequence();
    await step(model, [{ sequence: source, tokens: prompt }], 'last');
    const fork = model.forkSequence(source, n - 1);
    expectSameBits(
      await lastRow(model, [prompt.slice(n - 1)], fork),
      whole[1]!,
      `after a prefix of ${n - 1}`,
    );
  });
  it('one thread is two', async () => {
    await withModel(smollm2!, { ...settings, threads: 1 }, async (one) => {
      expectSameBits(await lastRow(one, [prompt]), whole[1]!, 'one thread');
    });
  });
}

for (const isa of kernels) {
  for (const subject of embedded) describe(`${subject.name}, ${isa}`, () => testContract(subject, isa));
}
/** Scalar FP32 takes a second for a token: nightly. */
const tablesOf = (dtype: 'int8' | 'fp32') =>
  kernels.filter((isa) => isNightly || dtype === 'int8' || isa !== 'scalar');
const large = (['fp32', 'int8'] as const).filter((dtype) => tablesOf(dtype).length > 1);
describe.skipIf(smollm2 === undefined)(`with real weights${needsSmollm2}`, () => {
  for (const dtype of ['fp32', 'int8'] as const) {
    for (const isa of tablesOf(dtype)) {
      describe(`SmolLM2 ${dtype}, ${isa}`, () => testLargeModel(dtype, isa));
    }
  }
});

describe('all kernel tables agree bit for bit', () => {
  const subjects = [
    ...embedded.map(({ name }) => ({ name, tables: kernels })),
    ...(smollm2 === undefined ? [] : large).map((dtype) => ({
      name: `SmolLM2 ${dtype}`,
      tables: tablesOf(dtype),
    })),
  ];
  it.each(subjects)('$name', ({ name, tables: [first, ...others] }) => {
    const expected = truths.get(`${name} ${first}`)!;
    // A model that says the same whatever it reads, or no number at all, would agree with everything.
    expect(expected.every(Number.isFinite)).toBe(true);
    expect(new Set(expected).size).toBeGreaterThan(expected.length / 10);
    // The first may have been given fewer tokens.
    const [second] = others;
    const all = truths.get(`${name} ${second}`);
    for (const isa of others) {
      const values = truths.get(`${name} ${isa}`)!;
      expectSameBits(values.subarray(0, expected.length), expected, `${isa} against ${first}`);
      expectSameBits(values, all!, `${isa} against ${second}`);
    }
  });
});
