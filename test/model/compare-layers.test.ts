/** Where the error comes from: against naive numbers, and with a layer that was damaged on purpose. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compare } from '../../lib/compare/compare.js';
import type { InspectedModel } from '../../lib/compare/layer-linears.js';
import { analyzeLayers, type LayerAnalysis } from '../../lib/compare/layers.js';
import type { CompareProgress } from '../../lib/compare/options.js';
import { findRecipe } from '../../lib/compare/recipe.js';
import { ErrorSum } from '../../lib/compare/tensor-error.js';
import { linearNames } from '../../lib/keep-fp32.js';
import { packageRoot } from '../../lib/native.js';
import { type Described, describeAt, loadInspected, logitsOf, withModel } from './native-model.js';
import { naiveKl } from './naive-kl.js';

const original = join(packageRoot, 'models/stories-260k');
const window = Int32Array.from({ length: 64 }, (_, i) => (i === 0 ? 1 : 259 + ((i * 37) % 200)));

describe('the distance of two tensors', () => {
  it('has the squared error over the squared size, and the angle', () => {
    const { nmse, cosine } = ErrorSum.of(Float32Array.of(3, 0, 4), Float32Array.of(3, 5, 4));
    expect(nmse).toBe(1);
    expect(cosine).toBeCloseTo(Math.SQRT1_2, 12);
    expect(ErrorSum.of(Float32Array.of(1, 2), Float32Array.of(1, 2))).toEqual({ nmse: 0, cosine: 1 });
    expect(ErrorSum.of(Float32Array.of(0, 0), Float32Array.of(0, 0))).toEqual({ nmse: 0, cosine: 1 });
    expect(ErrorSum.of(Float32Array.of(1, 1), Float32Array.of(-1, -1)).cosine).toBe(-1);
  });
});

describe('the layers of stories-260k', () => {
  let described: Described;
  let reference: InspectedModel;
  let quantized: InspectedModel;
  let folder = '';
  beforeAll(async () => {
    described = await describeAt(original);
    reference = await loadInspected(described, linearNames(described));
    quantized = await loadInspected(described, []);
    folder = mkdtempSync(join(tmpdir(), 'kvasir-layers-'));
  });
  afterAll(async () => {
    await reference?.dispose();
    await quantized?.dispose();
    rmSync(folder, { recursive: true });
  });

  const analyze = async (int8: InspectedModel, full = false): Promise<LayerAnalysis> => {
    const found: LayerAnalysis = { layers: [], sensitivity: [] };
    const { spec } = described;
    const progress: number[] = [];
    await analyzeLayers(
      {
        reference,
        quantized: int8,
        spec,
        window,
        full,
        signal: new AbortController().signal,
        onProgress: (done) => progress.push(done),
      },
      found,
    );
    expect(progress).toHaveLength(spec.stack.layers.length + 1);
    expect(progress.at(-1)).toBeLessThan(1);
    return found;
  };

  /** A copy whose tensor was changed, value by value. */
  async function damaged(
    tensor: string,
    change: (value: number, index: number) => number,
  ): Promise<Described> {
    const copy = join(folder, tensor);
    cpSync(original, copy, { recursive: true });
    const file = join(copy, readdirSync(copy).find((name) => name.endsWith('.safetensors'))!);
    const bytes = readFileSync(file);
    const size = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + size)) as Record<
      string,
      { dtype: string; data_offsets: [number, number] }
    >;
    const { dtype, data_offsets: range } = header[tensor]!;
    expect(dtype).toBe('F32');
    for (let at = range[0]; at < range[1]; at += 4) {
      const place = 8 + size + at;
      bytes.writeFloatLE(change(bytes.readFloatLE(place), (at - range[0]) / 4), place);
    }
    writeFileSync(file, bytes);
    return describeAt(copy);
  }

  it('are told one by one, with the numbers of naive formulas', async () => {
    const { layers, sensitivity } = await analyze(quantized);
    expect(layers.map(({ name }) => name)).toEqual([
      'embed.tokens',
      ...[0, 1, 2, 3, 4].map((i) => `layers.${i}`),
    ]);
    expect(layers.flatMap(({ linears }) => linears.map(({ name }) => name))).toEqual(linearNames(described));
    expect(sensitivity.map(({ name }) => name).sort()).toEqual(layers.map(({ name }) => name).sort());
    const kls = sensitivity.map(({ kl }) => kl);
    expect([...kls].sort((a, b) => b - a)).toEqual(kls);
    for (const { kl, accumulated, linears } of layers) {
      expect(kl).toBeGreaterThan(1e-7);
      expect(accumulated!.nmse).toBeGreaterThan(0);
      for (const { weightNmse, local } of linears) {
        expect(weightNmse).toBeGreaterThan(1e-6);
        expect(weightNmse).toBeLessThan(1e-3);
        expect(local.cosine).toBeGreaterThan(0.999);
        expect(local.cosine).toBeLessThan(1);
      }
    }
    // What piles up is more than what one linear adds, after the first layer.
    const { local, accumulated } = layers[4]!.linears[0]!;
    expect(accumulated.nmse).toBeGreaterThan(local.nmse);

    // One number of each kind, from models that are loaded so and from nothing else.
    const names = ['layers.3.qkv', 'layers.3.o', 'layers.3.gate_up', 'layers.3.down'];
    const keepFp32 = linearNames(described).filter((name) => !names.includes(name));
    const settings = { dtype: 'int8', kvDtype: 'fp32', keepFp32 } as const;
    const only = await withModel(described, settings, (model) => logitsOf(model, [...window]));
    const exact = await withModel(described, { dtype: 'fp32' }, (model) => logitsOf(model, [...window]));
    let sum = 0;
    for (let row = 32; row < 63; row++) sum += naiveKl(exact[row]!, only[row]!);
    expect(layers[4]!.kl).toBeCloseTo(sum / 31, 7);

    const weights = await reference.weightRows('layers.3.down', 0, 64);
    const rounded = await quantized.weightRows('layers.3.down', 0, 64);
    const energy = (values: Float32Array) => values.reduce((total, x) => total + x * x, 0);
    const nmse = energy(weights.map((w, i) => w - rounded[i]!)) / energy(weights);
    expect(layers[4]!.linears[3]!.weightNmse).toBeCloseTo(nmse, 8);
  });

  it('have no error where nothing is INT8', async () => {
    const { layers } = await analyze(reference);
    for (const { kl, accumulated, linears } of layers) {
      expect(kl).toBe(0);
      expect(accumulated).toEqual({ nmse: 0, cosine: 1 });
      for (const { weightNmse, local } of linears) {
        expect([weightNmse, local.nmse]).toEqual([0, 0]);
        expect(local.cosine).toBeCloseTo(1, 12);
      }
    }
  });

  it.each([
    ['model.layers.2.mlp.down_proj.weight', 'layers.2', 'layers.2.down'],
    ['model.layers.0.self_attn.v_proj.weight', 'layers.0', 'layers.0.qkv'],
    ['model.layers.4.self_attn.o_proj.weight', 'layers.4', 'layers.4.o'],
  ])('name the damaged one first: %s', async (tensor, layer, linear) => {
    // One weight in four is off by half.
    const bad = await loadInspected(
      await damaged(tensor, (value, i) => (i % 4 === 0 ? 1.5 * value : value)),
      [],
    );
    try {
      const { layers, sensitivity } = await analyze(bad);
      expect(sensitivity[0]!.name).toBe(layer);
      expect(sensitivity[0]!.kl).toBeGreaterThan(2 * sensitivity[1]!.kl);
      const linears = layers.flatMap((one) => one.linears);
      const worst = linears.reduce((x, y) => (y.weightNmse > x.weightNmse ? y : x));
      expect(worst.name).toBe(linear);
      expect(linears.reduce((x, y) => (y.local.nmse > x.local.nmse ? y : x)).name).toBe(linear);

      const full = await analyze(bad, true);
      expect(full.sensitivity[0]!.name).toBe(linear);
      expect(full.sensitivity.map(({ name }) => name).sort()).toEqual(linearNames(described).sort());

      // The search finds that very linear, and nothing else.
      const shared = { reference, quantized: bad, spec: described.spec, windows: [window] };
      const signal = new AbortController().signal;
      const whole = await findRecipe({ ...shared, sensitivity: full.sensitivity, maxKl: 0, signal });
      expect(whole.met).toBe(false);
      const plain = await findRecipe({ ...shared, quantized, sensitivity: [], maxKl: 1, signal });
      expect(plain).toMatchObject({ keepFp32: [], met: true });
      const recipe = await findRecipe({
        ...shared,
        sensitivity: full.sensitivity,
        maxKl: 1.3 * plain.meanKl,
        signal,
      });
      expect(recipe).toMatchObject({ keepFp32: [linear], met: true });
      expect(recipe.meanKl).toBeLessThanOrEqual(1.3 * plain.meanKl);
      // A ranking that puts a harmless one first costs nothing but time.
      const misled = [
        { name: 'layers.1.o', kl: 9 },
        { name: linear, kl: 1 },
      ];
      const pruned = await findRecipe({ ...shared, sensitivity: misled, maxKl: 1.5 * plain.meanKl, signal });
      expect(pruned.keepFp32).toEqual([linear]);
    } finally {
      await bad.dispose();
    }
  });
});

describe('compare: layers', () => {
  const quick = { windows: 2, windowTokens: 64, latency: false, memory: false } as const;

  it('is a part of the report, and its recipe is what Model.load takes', async () => {
    const steps: CompareProgress[] = [];
    const onProgress = (step: CompareProgress) => steps.push(step);
    const report = await compare('stories-260k', { ...quick, maxKl: 0.004, search: true, onProgress });
    expect(report.complete).toBe(true);
    // The search has a phase of its own, window by window, that never goes back and ends with nothing left.
    const search = steps.filter(({ phase }) => phase === 'search');
    expect(steps.findIndex(({ phase }) => phase === 'search')).toBeGreaterThan(
      steps.findLastIndex(({ phase }) => phase === 'layers'),
    );
    expect(search.length).toBeGreaterThanOrEqual(2 * 2);
    for (const [i, { done }] of search.entries()) {
      expect(done).toBeGreaterThan(0);
      if (i < search.length - 1) expect(done).toBeLessThan(1);
      expect(done).toBeGreaterThanOrEqual(search[i - 1]?.done ?? 0);
    }
    expect(search[0]!.secondsLeft).toBeGreaterThan(0);
    expect(search.at(-1)).toMatchObject({ done: 1, secondsLeft: 0 });
    expect(report.layers).toHaveLength(6);
    expect(report.fp32!.linears['layers.0.o']).toBe('fp32');
    expect(report.int8!.linears['layers.0.o']).toBe('int8');
    const { recipe } = report;
    expect(recipe!.windows).toBe(2);
    // The search looked at the same windows, so that the promise can be checked to the last digit or so.
    const keepFp32 = recipe!.keepFp32;
    expect(keepFp32.length).toBeGreaterThan(0);
    const kept = await compare('stories-260k', { ...quick, layers: false, keepFp32 });
    expect(kept.quality!.meanKl).toBeCloseTo(recipe!.meanKl, 9);
    expect(kept.int8!.linears).not.toEqual(report.int8!.linears);
  });

  it('is left out of two equal modes, and refused where it makes no sense', async () => {
    const same = await compare('stories-260k', { ...quick, a: 'int8' });
    expect(same.layers).toEqual([]);
    const wrong = [
      { a: 'int8', layers: true },
      { search: true },
      { a: 'fp32', b: 'fp32', keepFp32: ['layers.0'] },
      { layers: false, sensitivity: 'full' },
    ] as const;
    for (const options of wrong) {
      await expect(compare('stories-260k', { ...quick, ...options })).rejects.toThrow(
        /must be absent|absent unless/,
      );
    }
    await expect(compare('stories-260k', { ...quick, keepFp32: ['layers.77'] })).rejects.toThrow(
      /one of embed/,
    );
  });
});
