/**
 * Every traced tensor of SmolLM2 and of a model of each kind of layer (windows, experts, delta nets, an encoder) against what
 * hooks of `transformers` see in float64; the logit lens and attribution against PyTorch's (scripts/goldens/traces.py).
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Model, type Trace } from '../../lib/index.js';
import { layerTensorNames } from '../../lib/trace/layer-tensors.js';
import {
  differenceOf,
  expectErrorWithin,
  fixtures,
  type GoldenError,
  type GoldenTensor,
  readGolden,
  valuesOf,
} from './golden.js';
import { needsSmollm2, smollm2 } from './smollm2-model.js';

interface TraceGolden {
  ids: number[];
  /** Values of each tensor, at most. */
  most: number;
  tensors: [string, number[]][];
  values: GoldenTensor;
  float32Error: Record<string, GoldenError>;
  lens?: {
    positions: number[];
    /** [layers][positions][3] */
    ids: number[][][];
    logits: GoldenTensor;
    probabilities: GoldenTensor;
    leastGaps: GoldenTensor;
    float32Error: GoldenError;
  };
  attribution?: { token: number; parts: string[]; logits: GoldenTensor; float32Error: GoldenError };
}

/** As scripts/goldens/traces.py chooses them. */
function places(size: number, most: number): number[] {
  if (size <= most) return Array.from({ length: size }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.floor((((i + 1) * 0.6180339887498949) % 1) * size));
}

const lastPart = (name: string): string => name.slice(name.lastIndexOf('.') + 1);

/** Twice the reference's own error in float32, and no less than a unit in the last place of the largest value. */
function limitOf(error: GoldenError, expected: readonly number[]): GoldenError {
  const unit = 2 ** -23 * Math.max(...expected.map(Math.abs));
  return { max: Math.max(error.max, unit / 2), rms: Math.max(error.rms, unit / 2) };
}

/** Tensors whose heads a GGUF of Llama's kind has in another order: the two that rotate together are neighbours. */
const rotated = ['q', 'k', 'q_rotated', 'k_rotated'];

/** Where a GGUF has what lies at a place of the reference. */
function inFile(place: number, headDim: number): number {
  const column = place % headDim;
  const half = headDim / 2;
  return place - column + (column < half ? 2 * column : 2 * (column - half) + 1);
}

function checkTensors(trace: Trace, golden: TraceGolden, isGguf: boolean): void {
  expect(trace.tensors.map(({ name }) => name).sort()).toEqual(golden.tensors.map(([name]) => name).sort());
  const values = valuesOf(golden.values);
  const byKind = new Map<string, { actual: number[]; expected: number[] }>();
  let at = 0;
  for (const [name, shape] of golden.tensors) {
    const tensor = trace.get(name);
    expect(tensor.shape, name).toEqual(shape);
    const all = tensor.values;
    const kind = byKind.get(lastPart(name)) ?? { actual: [], expected: [] };
    byKind.set(lastPart(name), kind);
    for (const place of places(all.length, golden.most)) {
      const moved = isGguf && rotated.includes(lastPart(name));
      kind.actual.push(all[moved ? inFile(place, shape.at(-1)!) : place]!);
      kind.expected.push(values[at++]!);
    }
  }
  expect(at).toBe(values.length);
  for (const [kind, { actual, expected }] of byKind)
    expectErrorWithin(actual, expected, limitOf(golden.float32Error[kind]!, expected), 2, kind);
}

function checkLens(trace: Trace, lens: NonNullable<TraceGolden['lens']>): void {
  const [logits, probabilities, gaps] = [lens.logits, lens.probabilities, lens.leastGaps].map(valuesOf);
  const tokens = trace.tokens.length;
  const [actual, shares]: number[][] = [[], []];
  let clear = 0;
  for (const [layer, rows] of lens.ids.entries()) {
    for (const [i, ids] of rows.entries()) {
      const { top, ...place } = trace.lens[layer * tokens + lens.positions[i]!]!;
      expect(place).toEqual({ layer, position: lens.positions[i] });
      const isClear = gaps![layer * rows.length + i]! > 4 * lens.float32Error.max;
      if (isClear)
        expect(
          top.map(({ id }) => id),
          `layer ${layer}`,
        ).toEqual(ids);
      if (isClear) clear++;
      actual!.push(...top.map(({ logit }) => logit));
      shares!.push(...top.map(({ probability }) => probability));
    }
  }
  expect(clear).toBeGreaterThan(0.9 * lens.ids.length * lens.positions.length);
  const { max } = limitOf(lens.float32Error, [...logits!]);
  expect(differenceOf(actual!, logits!).max, 'logits of the lens').toBeLessThanOrEqual(2 * max);
  // A probability changes by at most itself times twice what a logit changes by.
  expect(differenceOf(shares!, probabilities!).max, 'probabilities of the lens').toBeLessThanOrEqual(4 * max);
}

function checkAttribution(trace: Trace, golden: NonNullable<TraceGolden['attribution']>): void {
  const parts = trace.attribution.filter(({ part }) => part !== 'rest');
  const names = parts.map(({ layer, part, head }) => [layer, part, head].filter((one) => one !== undefined));
  expect(names.map((name) => name.join('.'))).toEqual(golden.parts);
  const expected = [...valuesOf(golden.logits)];
  const error = limitOf(golden.float32Error, expected);
  expectErrorWithin(
    parts.map(({ logit }) => logit),
    expected,
    error,
    2,
    'attribution',
  );
}

async function check(reference: string, golden: TraceGolden): Promise<void> {
  await using model = await Model.load(reference, { device: 'cpu', dtype: 'fp32', kvDtype: 'fp32' });
  const decodes = golden.lens !== undefined;
  const trace = await model.trace(Int32Array.from(golden.ids), {
    tensors: [
      ...(['token_embed', 'embed', 'final_norm', 'logits'] as const),
      ...layerTensorNames.filter((name) => name !== 'attention_entropy'),
    ],
    ...(decodes ? { lens: 3, attribute: { token: golden.attribution!.token } } : {}),
  });
  checkTensors(trace, golden, reference.endsWith('.gguf'));
  if (!decodes) return;
  checkLens(trace, golden.lens!);
  checkAttribution(trace, golden.attribution!);
  expect(trace.predictions.at(-1)!.top[0]!.id).toBe(golden.attribution!.token);
}

const names = readdirSync(`${fixtures}traces`)
  .map((file) => file.replace('.json', ''))
  .filter((name) => name !== 'smollm2');

it.each(names)('every tensor of %s, its lens and its attribution are those of transformers', async (name) => {
  const folder = name === 'bert' ? 'encoders' : 'families';
  await check(`${fixtures}${folder}/${name}`, readGolden<TraceGolden>(`traces/${name}.json`));
});

it('there is one of windows, of experts, of delta nets, and an encoder', () => {
  expect(names.sort()).toEqual(['bert', 'gemma3_text', 'mistral', 'mixtral', 'qwen3_5_text']);
});

describe.skipIf(smollm2 === undefined)(`SmolLM2${needsSmollm2}`, () => {
  it('every tensor, its lens and its attribution are those of transformers', async () => {
    await check(smollm2!.paths[0]!, readGolden<TraceGolden>('traces/smollm2.json'));
  });
});
