/** Where the error comes from in layers of every linear that a spec can have: output gates, experts, shared experts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type InspectedModel,
  linearsOfLayer,
  readTaps,
  TracedLayer,
} from '../../lib/compare/layer-linears.js';
import { analyzeLayers, type LayerAnalysis } from '../../lib/compare/layers.js';
import { findRecipe } from '../../lib/compare/recipe.js';
import { keptLinears, linearNames } from '../../lib/keep-fp32.js';
import { native } from '../../lib/native.js';
import { type ModelSpec, specToJson } from '../../lib/spec.js';
import { naiveKl } from './naive-kl.js';
import { type Loadable, loadInspected, logitsOf, withModel } from './native-model.js';
import { type RandomCheckpoint, writeRandomCheckpoint } from './random-checkpoint.js';

const window = Int32Array.from({ length: 64 }, (_, i) => (i * 37) % 90);
const hidden = 64;

const spec: ModelSpec = {
  vocabSize: 90,
  hiddenSize: hidden,
  maxPositions: 128,
  ropes: [{ kind: 'half', inverseFrequencies: [1, 0.1, 0.01, 0.001, 0.5, 0.05, 0.005, 0.0005].sort() }],
  attentions: [
    { heads: 4, kvHeads: 2, headDim: 16, rope: 0, outputGate: true },
    { heads: 4, kvHeads: 2, headDim: 16, rope: 0 },
  ],
  feedForwards: [
    { activation: 'silu', gated: true, size: 96 },
    {
      activation: 'silu',
      gated: true,
      size: 64,
      experts: { count: 6, used: 2, score: 'softmax', renormalize: true, sharedSize: 128, sharedGate: true },
    },
    { activation: 'gelu_tanh', size: 128, experts: { count: 4, used: 1, score: 'sigmoid' } },
  ],
  stack: {
    residual: 'sandwich',
    layers: [
      { attention: 0, feedForward: 0 },
      { attention: 0, feedForward: 1 },
      { attention: 1, feedForward: 2 },
    ],
  },
  norm: 'rms',
  normEps: 1e-6,
};

const int8Linears = [
  'embed.tokens',
  ...['qkv', 'attn_gate', 'o', 'gate_up', 'down'].map((one) => `layers.0.${one}`),
  ...['qkv', 'attn_gate', 'o', 'experts.gate_up', 'experts.down'].map((one) => `layers.1.${one}`),
  ...['shared.gate_up', 'shared.down'].map((one) => `layers.1.${one}`),
  ...['qkv', 'o', 'experts.gate_up', 'experts.down'].map((one) => `layers.2.${one}`),
  'lm_head',
];
const float32Linears = ['layers.1.router', 'layers.1.shared_gate', 'layers.2.router'];

describe('layers of every kind of linear', () => {
  let folder = '';
  let checkpoint: Loadable;
  let reference: InspectedModel;
  let quantized: InspectedModel;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-experts-'));
    checkpoint = writeRandomCheckpoint({ folder, spec, seed: 5 });
    reference = await loadInspected(checkpoint, linearNames(checkpoint));
    quantized = await loadInspected(checkpoint, []);
  });
  afterAll(async () => {
    await reference?.dispose();
    await quantized?.dispose();
    rmSync(folder, { recursive: true });
  });

  const analyze = async (int8: InspectedModel, full: boolean): Promise<LayerAnalysis> => {
    const found: LayerAnalysis = { layers: [], sensitivity: [] };
    const { signal } = new AbortController();
    await analyzeLayers(
      { reference, quantized: int8, spec, window, full, signal, onProgress: () => {} },
      found,
    );
    return found;
  };

  it('are told one by one, experts together', async () => {
    const { layers, sensitivity } = await analyze(quantized, true);
    const linears = layers.flatMap((layer) => layer.linears);
    const names = linears.map(({ name }) => name);
    expect([...names].sort()).toEqual([...int8Linears, ...float32Linears].sort());
    expect(sensitivity.map(({ name }) => name).sort()).toEqual([...int8Linears].sort());
    for (const { name, weightNmse, local, accumulated } of linears) {
      const isFloat32 = float32Linears.includes(name);
      expect([name, weightNmse > 1e-6, local.nmse > 1e-7]).toEqual([name, !isFloat32, !isFloat32]);
      expect([name, weightNmse < 1e-3, local.nmse < 1e-2]).toEqual([name, true, true]);
      // What a router reads has the error of all before it.
      expect([name, accumulated.nmse >= local.nmse || name === 'lm_head']).toEqual([name, true]);
      expect([name, accumulated.nmse > 1e-7 && accumulated.nmse < 0.5]).toEqual([name, true]);
    }
    // The same from a model that is loaded so.
    const ofLayer = linearNames(checkpoint).filter((name) => name.startsWith('layers.1.'));
    const keepFp32 = linearNames(checkpoint).filter((name) => !ofLayer.includes(name));
    const settings = { dtype: 'int8', kvDtype: 'fp32', keepFp32 } as const;
    const only = await withModel(checkpoint, settings, (model) => logitsOf(model, [...window]));
    const exact = await withModel(checkpoint, { dtype: 'fp32' }, (model) => logitsOf(model, [...window]));
    let sum = 0;
    for (let row = 32; row < 63; row++) sum += naiveKl(exact[row]!, only[row]!);
    expect(layers[2]!.name).toBe('layers.1');
    expect(layers[2]!.kl).toBeCloseTo(sum / 31, 7);
  });

  it('have inputs that give what the layer gives: experts of the rows that use them, gated by nobody else', async () => {
    const tensors = native().tensorsOf(specToJson(spec));
    const input = (await reference.runLayers({ ...run, first: 0, end: 1 })).hidden;
    const more = ['experts', 'experts_and_shared', 'shared_gate', 'attn_gate', 'router'];
    const { taps } = await reference.runLayers({
      ...run,
      input,
      first: 1,
      end: 2,
      taps: [...readTaps, ...more],
    });
    const traced = new TracedLayer(reference, 1, window.length, taps);
    const byName = new Map(linearsOfLayer(tensors, 1).map(({ name, linears }) => [name, linears]));
    const tap = (name: string) => taps[`layers.1.${name}`]!;

    const [o] = byName.get('layers.1.o')!;
    expect(await traced.inputOf(o!, traced.rowsOf(o!))).toEqual(tap('attn_gated'));
    expect(linearsOfLayer(tensors, 2).find(({ name }) => name === 'layers.2.o')!.linears[0]!.reads).toBe(
      'attention',
    );
    // attention * sigmoid(gate)
    const gated = tap('attention').map((x, i) => x / (1 + Math.exp(-tap('attn_gate')[i]!)));
    expect(distance(tap('attn_gated'), gated)).toBeLessThan(1e-6);

    const routed = new Float64Array(window.length * hidden);
    const counts = new Array<number>(window.length).fill(0);
    for (const down of byName.get('layers.1.experts.down')!) {
      const rows = traced.rowsOf(down);
      const out = await reference.applyLinear(down.name, await traced.inputOf(down, rows));
      for (const [i, row] of rows.entries()) {
        counts[row]! += 1;
        const weight = weightOf(tap('router'), row, down.expert, tap('experts_used'));
        for (let c = 0; c < hidden; c++) routed[row * hidden + c]! += weight * out[i * hidden + c]!;
      }
    }
    expect(counts).toEqual(new Array(window.length).fill(2));
    expect(distance(tap('experts'), routed)).toBeLessThan(1e-5);

    const [down] = byName.get('layers.1.shared.down')!;
    const shared = await reference.applyLinear(down!.name, await traced.inputOf(down!, traced.rowsOf(down!)));
    const whole = routed.map((x, i) => {
      const gate = 1 / (1 + Math.exp(-tap('shared_gate')[Math.floor(i / hidden)]!));
      return x + gate * shared[i]!;
    });
    expect(distance(tap('experts_and_shared'), whole)).toBeLessThan(1e-5);
  });

  it.each([
    ['layers.1.experts.3.down.weight', 'layers.1.experts.down'],
    ['layers.1.shared.up.weight', 'layers.1.shared.gate_up'],
    ['layers.0.attn_gate.weight', 'layers.0.attn_gate'],
    ['layers.2.experts.0.up.weight', 'layers.2.experts.gate_up'],
  ])('name the damaged one: %s', async (tensor, linear) => {
    const damage: RandomCheckpoint['damage'] = {
      tensor,
      change: (value, i) => (i % 2 === 0 ? 2 * value : value),
    };
    const bad = await loadInspected(writeRandomCheckpoint({ folder, spec, seed: 5, damage }), []);
    try {
      const { layers, sensitivity } = await analyze(bad, true);
      const linears = layers.flatMap((layer) => layer.linears);
      expect(linears.reduce((x, y) => (y.weightNmse > x.weightNmse ? y : x)).name).toBe(linear);
      expect(linears.reduce((x, y) => (y.local.nmse > x.local.nmse ? y : x)).name).toBe(linear);
      expect(sensitivity[0]!.name).toBe(linear);
      const { signal } = new AbortController();
      const shared = { reference, spec, windows: [window], signal };
      const plain = await findRecipe({ ...shared, quantized, sensitivity: [], maxKl: 1, signal });
      const maxKl = 1.5 * plain.meanKl;
      const recipe = await findRecipe({ ...shared, quantized: bad, sensitivity, maxKl });
      expect(recipe).toMatchObject({ keepFp32: [linear], met: true });
    } finally {
      await bad.dispose();
    }
  });
});

describe('keepFp32 of experts', () => {
  const kept = (...keepFp32: string[]) =>
    keptLinears({ keepFp32 }, { spec, tensors: { 'lm_head.weight': { name: 'x' } } });

  it('takes those of all, those of one, and the same linear of each', () => {
    const six = [0, 1, 2, 3, 4, 5];
    expect(kept('layers.1.experts.down')).toEqual(six.map((e) => `layers.1.experts.${e}.down`));
    expect(kept('layers.1.experts.4')).toEqual(['layers.1.experts.4.gate_up', 'layers.1.experts.4.down']);
    expect(kept('layers.1.shared')).toEqual(['layers.1.shared.gate_up', 'layers.1.shared.down']);
    expect(kept('layers.1.experts')).toHaveLength(12);
    expect(kept('layers.1')).toHaveLength(17);
  });

  it('refuses parts, routers and what is not there', () => {
    expect(() => kept('layers.1.experts.4.up')).toThrow(
      /'layers.1.experts.4.gate_up': its parts are one linear/,
    );
    expect(() => kept('layers.1.router')).toThrow(/float32 in any model/);
    expect(() => kept('layers.0.experts')).toThrow(/one of embed.tokens/);
    expect(() => kept('layers')).toThrow(/one of embed.tokens/);
  });
});

const run = { tokens: window, rows: new Int32Array(0), taps: [] };

/** Of a row's two experts, by softmax of their two logits. */
function weightOf(logits: Float32Array, row: number, expert: number, used: Float32Array): number {
  const n = logits.length / window.length;
  const scores = [...used.subarray(2 * row, 2 * row + 2)].map((e) => Math.exp(logits[row * n + e]!));
  return Math.exp(logits[row * n + expert]!) / scores.reduce((sum, x) => sum + x, 0);
}

/** Largest difference over the largest value. */
function distance(actual: Float32Array, expected: ArrayLike<number>): number {
  let [most, size] = [0, 0];
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    most = Math.max(most, Math.abs(actual[i]! - expected[i]!));
    size = Math.max(size, Math.abs(expected[i]!));
  }
  return most / size;
}
