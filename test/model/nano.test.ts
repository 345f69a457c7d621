/** nano-gpt-sort against its published intermediate tensors and against the reference's logits for all 729 inputs. */
import { describe, expect, it } from 'vitest';
import { differenceOf, expectWithin, type GoldenTensor, readGolden, valuesOf } from './golden.js';
import {
  argmax,
  describeAt,
  joined,
  kernels,
  type LoadSettings,
  loadOptions,
  step,
  withModel,
} from './native-model.js';
import { type Tap, trace } from './testing-addon.js';

const nano = await describeAt('nano-gpt-sort');
const nBatch = 3;
const nTokens = 11;
const nHeads = 3;
const headDim = 16;
const hidden = nHeads * headDim;

/** The first `count` of each head's. */
const eachHead = (values: Float32Array, count: number): number[][] =>
  Array.from({ length: nHeads }, (_, h) => {
    const stride = values.length / nHeads;
    return Array.from(values.subarray(h * stride, h * stride + count));
  });

describe.each(kernels)('intermediate tensors, %s', (isa) => {
  const partials = readGolden<Record<string, GoldenTensor>>('nano-gpt-sort-partials.json');
  const golden = (name: string) => valuesOf(partials[name]!) as Float32Array;
  const ids = Int32Array.from(golden('idx'));
  const request = { ...nano, isa, options: loadOptions(nano, { kvCapacity: 4 * 64 }) };
  const batch = [...Array(nBatch).keys()].map((index) => ({
    index,
    tokens: ids.slice(index * nTokens, (index + 1) * nTokens),
  }));

  /** The taps of one step that feeds the three sequences whole. */
  const taps = trace({
    ...request,
    steps: [{ sequences: batch, rows: Int32Array.from({ length: nBatch * nTokens }, (_, i) => i) }],
  })[0]!;
  const tap = (name: string): Tap => {
    const found = taps.get(name);
    if (found === undefined) throw new Error(`no tap '${name}'; there are ${[...taps.keys()].join(', ')}`);
    return found;
  };
  const limit = 1e-5;

  // The last tap of a block is the block's output, and the first block's is published under both names.
  const whole: Record<string, string> = {
    tok_emb: 'token_embed',
    x: 'embed',
    ln1: 'layers.0.attn_norm',
    qkv: 'layers.0.qkv',
    y: 'layers.0.attention',
    attnResid: 'layers.0.attn_residual',
    ln2: 'layers.0.ffn_norm',
    fc: 'layers.0.gate_up',
    gelu: 'layers.0.activation',
    mlpResid: 'layers.0.ffn_residual',
    block0: 'layers.0.ffn_residual',
    block1: 'layers.1.ffn_residual',
    block2: 'layers.2.ffn_residual',
    ln_f: 'final_norm',
    lm_head: 'logits',
  };
  it.each(Object.entries(whole))('%s is the tap %s', (name, tapName) => {
    const { rows, columns, values } = tap(tapName);
    expect([nBatch, rows / nBatch, columns]).toEqual(partials[name]!.shape);
    expectWithin(values, golden(name), limit, name);
  });

  // A residual is rounded once more than its summand: by 2^-24 of it, below 1e-6 for |x| < 16.
  const summands: Record<string, [string, string]> = {
    yProj: ['layers.0.attn_residual', 'embed'],
    mlp: ['layers.0.ffn_residual', 'layers.0.attn_residual'],
  };
  it.each(Object.entries(summands))('%s is what its residual adds', (name, [after, before]) => {
    const sum = tap(after).values;
    expect(Math.max(...sum.map(Math.abs))).toBeLessThan(16);
    expectWithin(
      sum.map((value, i) => value - tap(before).values[i]!),
      golden(name),
      limit,
      name,
    );
  });

  it('pos_emb is what the positions add to each sequence', () => {
    const { values } = tap('embed');
    const added = values.map((value, i) => value - tap('token_embed').values[i]!);
    for (let b = 0; b < nBatch; ++b) {
      expectWithin(
        added.slice(b * nTokens * hidden, (b + 1) * nTokens * hidden),
        golden('pos_emb'),
        limit,
        'pos_emb',
      );
    }
  });

  it.each(['q', 'k', 'v'])('%s of each head is its part of qkv', (name) => {
    const { columns, values } = tap('layers.0.qkv');
    const part = ['q', 'k', 'v'].indexOf(name);
    const heads: number[] = [];
    for (let b = 0; b < nBatch; ++b)
      for (let h = 0; h < nHeads; ++h)
        for (let t = 0; t < nTokens; ++t)
          for (let d = 0; d < headDim; ++d)
            heads.push(values[(b * nTokens + t) * columns + part * hidden + h * headDim + d]!);
    expect(partials[name]!.shape).toEqual([nBatch, nHeads, nTokens, headDim]);
    expectWithin(heads, golden(name), limit, name);
  });

  it.each([
    ['att', 'scores'],
    ['attSm', 'weights'],
  ])('%s is the tap layers.0.%s wherever a position is visible', (name, tapName) => {
    const { columns, values } = tap(`layers.0.${tapName}`);
    const context = columns / nHeads;
    const published = golden(name);
    const seen: number[] = [];
    const expected: number[] = [];
    for (let b = 0; b < nBatch; ++b)
      for (let h = 0; h < nHeads; ++h)
        for (let t = 0; t < nTokens; ++t)
          for (let s = 0; s < nTokens; ++s) {
            const truth = published[((b * nHeads + h) * nTokens + t) * nTokens + s]!;
            if (s > t) {
              // Hidden: the reference has -inf before the softmax and exactly 0 after it; native never computes it.
              expect(truth).toBe(name === 'att' ? Number.NEGATIVE_INFINITY : 0);
              expect(values[(b * nTokens + t) * columns + h * context + s]).toBe(0);
              continue;
            }
            expected.push(truth);
            seen.push(values[(b * nTokens + t) * columns + h * context + s]!);
          }
    expectWithin(seen, expected, limit, name);
  });

  it('probs follow from what a step returns', async () => {
    await withModel(nano, { isa, kvCapacity: 4 * 64 }, async (model) => {
      const n = nBatch * nTokens;
      const result = await model.step({
        sequences: Int32Array.from(batch, () => model.createSequence()),
        counts: Int32Array.from(batch, () => nTokens),
        tokens: ids,
        rows: Int32Array.from({ length: n }, (_, i) => i),
        temperatures: new Float32Array(n),
        fullLogits: new Uint8Array(n),
        targets: new Int32Array(n).fill(-1),
      });
      const probs = new Float64Array(n * result.candidates);
      for (let i = 0; i < probs.length; ++i) {
        const row = Math.floor(i / result.candidates);
        probs[row * result.candidates + result.candidateIds[i]!] = Math.exp(
          result.candidateLogits[i]! - result.logSumExp1[row]!,
        );
      }
      expectWithin(probs, golden('probs'), limit, 'probs');
    });
  });

  it('one token at a time gives the same taps', () => {
    const steps = [...Array(nTokens).keys()].map((t) => ({
      sequences: batch.map(({ index, tokens }) => ({ index, tokens: tokens.slice(t, t + 1) })),
      rows: Int32Array.of(0, 1, 2),
    }));
    const decoded = trace({ ...request, steps });
    for (const [name, { columns, values }] of taps) {
      for (let b = 0; b < nBatch; ++b) {
        for (let t = 0; t < nTokens; ++t) {
          const row = values.slice((b * nTokens + t) * columns, (b * nTokens + t + 1) * columns);
          const step = decoded[t]!.get(name)!;
          const one = step.values.slice(b * step.columns, (b + 1) * step.columns);
          // Scores and weights reach as far as the step's longest sequence; what lies behind is hidden.
          const isOfPositions = /\.(scores|weights)$/.test(name);
          const seen = isOfPositions ? eachHead(one, t + 1) : one;
          expect(seen, `${name} of token ${t}`).toEqual(isOfPositions ? eachHead(row, t + 1) : row);
        }
      }
    }
  });
});

interface Sorting {
  inputs: string[];
  outputs: string[];
  logits: GoldenTensor;
}
const sorting = readGolden<Sorting>('nano-gpt-sort.json');
const letterId = (letter: string) => 'ABC'.indexOf(letter);
const nInputs = sorting.inputs.length;

/** Greedy sort of every input, 81 sequences at a time. `logits` [729, 11, 3]: those of the 11 tokens the model sees. */
async function sortAll(settings: LoadSettings) {
  const together = 81;
  return withModel(nano, { kvCapacity: together * 64, ...settings }, async (model) => {
    const outputs: string[] = [];
    const logits: Float32Array[] = [];
    for (let first = 0; first < nInputs; first += together) {
      const group = sorting.inputs.slice(first, first + together);
      const rows: Float32Array[][] = group.map(() => []);
      const sorted = group.map(() => '');
      let parts = group.map((text) => ({
        sequence: model.createSequence(),
        tokens: [...text].map(letterId),
      }));
      while (sorted[0]!.length < 6) {
        const perPart = parts[0]!.tokens.length;
        const result = await step(model, parts);
        parts = parts.map(({ sequence }, i) => {
          rows[i]!.push(...result.slice(i * perPart, (i + 1) * perPart));
          const next = argmax(rows[i]!.at(-1)!);
          sorted[i] += 'ABC'[next];
          return { sequence, tokens: [next] };
        });
      }
      for (const { sequence } of parts) model.freeSequence(sequence);
      outputs.push(...sorted);
      logits.push(...rows.flat());
    }
    return { outputs, logits: joined(logits) };
  });
}

describe.each(kernels)('sorting all 729 inputs, %s', (isa) => {
  it('FP32: the reference, letter for letter, logits within 1e-4', async () => {
    const { outputs, logits } = await sortAll({ isa });
    expect(outputs).toEqual(sorting.outputs);
    expectWithin(logits, valuesOf(sorting.logits), 1e-4, 'logits');
  });

  it('INT8: sorted alike, logits within 0.2 and 0.02 RMS of FP32', async () => {
    const fp32 = await sortAll({ isa });
    const int8 = await sortAll({ isa, dtype: 'int8' });
    expect(int8.outputs).toEqual(sorting.outputs);
    const { max, rms } = differenceOf(int8.logits, fp32.logits);
    expect(max).toBeLessThanOrEqual(0.2);
    expect(rms).toBeLessThanOrEqual(0.02);
    // Quantized at all: sums of this length cannot round alike.
    expect(rms).toBeGreaterThan(1e-4);
  });
});
