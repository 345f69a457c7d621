/** Linears that stay float32 in an INT8 model, and the methods that look into a model. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linearNames } from '../../lib/keep-fp32.js';
import { Model } from '../../lib/model.js';
import { type NativeInspection, type NativeModel, packageRoot } from '../../lib/native.js';
import {
  type Described,
  describeAt,
  joined,
  kernels,
  loadNative,
  logitsOf,
  withModel,
} from './native-model.js';

type Native = NativeModel & NativeInspection;
const tokens = [1, 403, 407, 261, 378, 432, 403, 290, 310, 278, 410, 447, 425, 261, 300, 301, 302, 303];

const models = ['stories-260k', 'nano-gpt-sort'] as const;
describe.each(models)('keepFp32 of %s', (name) => {
  let described: Described;
  let all: string[];
  const ids = name === 'stories-260k' ? tokens : [0, 1, 2, 2, 1, 0, 0];
  beforeAll(async () => {
    described = await describeAt(join(packageRoot, 'models', name));
    all = linearNames(described);
  });
  const logits = (settings: object) =>
    withModel(described, settings, async (model) => joined(await logitsOf(model, ids)));

  it('with every linear is FP32, bit for bit, on every kernel table', async () => {
    for (const isa of kernels) {
      const fp32 = await logits({ dtype: 'fp32', isa });
      expect(await logits({ dtype: 'int8', kvDtype: 'fp32', keepFp32: all, isa })).toEqual(fp32);
    }
  });

  it('changes just the linears that it names', async () => {
    const int8 = await logits({ dtype: 'int8' });
    for (const kept of ['embed.tokens', 'layers.1.qkv', 'layers.0.o', 'layers.2.gate_up', 'layers.2.down']) {
      const settings = { dtype: 'int8', keepFp32: [kept] } as const;
      expect(await logits(settings)).not.toEqual(int8);
      await withModel(described, settings, async ({ info }) => {
        const float = Object.entries(info.linears).filter(([, { dtype }]) => dtype === 'fp32');
        expect(float.map(([linear]) => linear)).toEqual([kept]);
        expect(Object.keys(info.linears)).toEqual(all);
      });
    }
  });

  it('does not depend on how a prompt is cut up', async () => {
    const settings = { dtype: 'int8', keepFp32: ['layers.1.down', 'layers.0.qkv', 'layers.2.o'] } as const;
    await withModel(described, settings, async (model) => {
      const whole = await logitsOf(model, ids);
      const one = await logitsOf(model, ids.slice(0, 5), 'last');
      expect(one[0]).toEqual(whole[4]);
    });
  });
});

describe('keepFp32 of Model.load', () => {
  it('takes layers whole, counts their memory and tells what is float32', async () => {
    const plain = await Model.load('stories-260k');
    const kept = await Model.load('stories-260k', {
      keepFp32: ['layers.1', 'layers.1.down', 'embed.tokens'],
    });
    try {
      const float = Object.entries(kept.info.linears).filter(([, dtype]) => dtype === 'fp32');
      expect(float.map(([name]) => name)).toEqual(
        ['embed.tokens', 'qkv', 'o', 'gate_up', 'down'].map((one) =>
          one[0] === 'e' ? one : `layers.1.${one}`,
        ),
      );
      expect(kept.info.memory.weights).toBeGreaterThan(plain.info.memory.weights);
      expect(kept.info.memory.predicted - plain.info.memory.predicted).toBe(
        kept.info.memory.weights - plain.info.memory.weights,
      );
      expect((await kept.generate('Once upon a time', { maxTokens: 8 })).tokens).toHaveLength(8);
    } finally {
      await Promise.all([plain.dispose(), kept.dispose()]);
    }
  });

  it.each([
    [{ keepFp32: ['layers.9.down'] }, /must be one of embed\.tokens, layers\.0 to layers\.4\.down/],
    [{ keepFp32: ['layers.0.q'] }, /must be 'layers\.0\.qkv': its parts are one linear/],
    [{ keepFp32: ['lm_head'] }, /must be 'embed\.tokens': this model's output layer is tied/],
    [{ keepFp32: ['down'] }, /must be one of/],
    [{ keepFp32: ['layers'] }, /must be one of/],
    [{ keepFp32: 'layers.0' }, /an array of names/],
    [{ keepFp32: ['layers.0'], dtype: 'fp32' }, /must be absent with dtype 'fp32'/],
  ])('refuses %j', async (options, message) => {
    await expect(Model.load('stories-260k', options as never)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(message),
    });
  });
});

describe('looking into a model', () => {
  let described: Described;
  let fp32: Native;
  let int8: Native;
  const window = Int32Array.from(tokens);
  const rows = Int32Array.from(tokens, (_, i) => i);
  const none = new Int32Array(0);
  beforeAll(async () => {
    described = await describeAt(join(packageRoot, 'models/stories-260k'));
    const keepFp32 = linearNames(described);
    fp32 = (await loadNative(described, { dtype: 'int8', kvDtype: 'fp32', keepFp32 })) as Native;
    int8 = (await loadNative(described, { dtype: 'int8' })) as Native;
  });
  afterAll(async () => {
    await fp32?.dispose();
    await int8?.dispose();
  });

  it('runs layers one by one as the whole model does', async () => {
    for (const model of [fp32, int8]) {
      const whole = joined(await logitsOf(model, tokens));
      const once = await model.runLayers({ tokens: window, first: 0, end: 5, rows, taps: [] });
      expect(once.logits).toEqual(whole);
      let { hidden } = await model.runLayers({ tokens: window, first: 0, end: 0, rows: none, taps: [] });
      for (let layer = 0; layer < 5; layer++) {
        const run = { tokens: window, input: hidden, first: layer, end: layer + 1, rows: none };
        const traced = await model.runLayers({ ...run, taps: ['attn_norm'] });
        const plain = await model.runLayers({ ...run, taps: [] });
        expect(Object.keys(traced.taps)).toEqual([`layers.${layer}.attn_norm`]);
        expect(plain.hidden).toEqual(traced.hidden);
        expect(plain.taps).toEqual({});
        hidden = plain.hidden;
      }
      const last = await model.runLayers({ tokens: window, input: hidden, first: 5, end: 5, rows, taps: [] });
      expect(last.logits).toEqual(whole);
    }
  });

  it('applies single linears, and shows their weights', async () => {
    const weights = await fp32.weightRows('layers.1.down', 0, 64);
    const rounded = await int8.weightRows('layers.1.down', 0, 64);
    const k = weights.length / 64;
    expect(k).toBe(172);
    const x = Float32Array.from({ length: 3 * k }, (_, i) => Math.sin(i * i));
    const exact = await fp32.applyLinear('layers.1.down', x);
    const quantized = await int8.applyLinear('layers.1.down', x);
    for (let row = 0; row < 3; row++) {
      for (let out = 0; out < 64; out++) {
        let [sum, size] = [0, 0];
        for (let i = 0; i < k; i++) {
          sum += x[row * k + i]! * weights[out * k + i]!;
          size += Math.abs(x[row * k + i]! * weights[out * k + i]!);
        }
        expect(Math.abs(exact[row * 64 + out]! - sum)).toBeLessThanOrEqual(k * 2 ** -23 * size);
        expect(Math.abs(quantized[row * 64 + out]! - sum)).toBeLessThanOrEqual(0.02 * size);
      }
    }
    expect(quantized).not.toEqual(exact);
    const distance = weights.reduce((sum, w, i) => sum + (w - rounded[i]!) ** 2, 0);
    const energy = weights.reduce((sum, w) => sum + w * w, 0);
    expect(distance / energy).toBeGreaterThan(1e-6);
    expect(distance / energy).toBeLessThan(1e-3);
  });

  it('borrows linears of another model, and gives them back', async () => {
    const logits = async (model: Native) =>
      (await model.runLayers({ tokens: window, first: 0, end: 5, rows, taps: [] })).logits;
    const before = await logits(fp32);
    const names = ['layers.2.down', 'embed.tokens'];
    fp32.borrow(int8, names);
    const borrowed = await logits(fp32);
    expect(borrowed).not.toEqual(before);
    // That is the model that is loaded with all others in float32.
    const keepFp32 = linearNames(described).filter((name) => !names.includes(name));
    const loaded = await withModel(described, { dtype: 'int8', kvDtype: 'fp32', keepFp32 }, async (model) =>
      joined(await logitsOf(model, tokens)),
    );
    expect(borrowed).toEqual(loaded);
    fp32.borrow(int8, []);
    expect(await logits(fp32)).toEqual(before);
  });

  it('keeps what it has borrowed while the lender is disposed of', async () => {
    const lender = (await loadNative(described, { dtype: 'int8' })) as Native;
    const borrower = (await loadNative(described, { dtype: 'int8' })) as Native;
    borrower.borrow(lender, ['layers.0.o', 'layers.4.gate_up']);
    await lender.dispose();
    const run = { tokens: window, first: 0, end: 5, rows, taps: [] };
    expect((await borrower.runLayers(run)).logits).toEqual((await int8.runLayers(run)).logits);
    await borrower.dispose();
    expect(() => fp32.borrow(lender, [])).toThrow(/was disposed/);
  });

  it('refuses what is not there', async () => {
    expect(() => fp32.borrow(int8, ['layers.7.o'])).toThrow(/cannot be borrowed/);
    expect(() => fp32.borrow({} as NativeModel, [])).toThrow(/not a model/);
    const other = await withModel(
      await describeAt(join(packageRoot, 'models/nano-gpt-sort')),
      {},
      async (nano) => {
        expect(() => fp32.borrow(nano, ['layers.0.o'])).toThrow(/cannot be borrowed/);
        return true;
      },
    );
    expect(other).toBe(true);
    await expect(fp32.applyLinear('layers.0.x', new Float32Array(64))).rejects.toThrow(/no linear/);
    await expect(fp32.applyLinear('layers.0.o', new Float32Array(65))).rejects.toThrow(/does not fit/);
    await expect(fp32.weightRows('layers.0.o', 60, 5)).rejects.toThrow(/no such rows/);
    await expect(fp32.applyGateUp('layers.0.down', new Float32Array(64))).rejects.toThrow(/no activation/);
    await expect(fp32.applyGateUp('layers.0.gate_up', new Float32Array(65))).rejects.toThrow(/does not fit/);
    const run = { tokens: window, first: 0, end: 6, rows: none, taps: [] };
    await expect(fp32.runLayers(run)).rejects.toThrow(/cannot be inspected/);
    await expect(fp32.runLayers({ ...run, end: 5, input: new Float32Array(3) })).rejects.toThrow(
      /does not fit/,
    );
    await expect(fp32.runLayers({ ...run, end: 5, tokens: Int32Array.of(999) })).rejects.toThrow(
      /outside the voc/,
    );
    // Nothing of that took pages.
    expect(fp32.freePages()).toEqual(fp32.info.kvTables.map(({ pages }) => pages));
  });
});
