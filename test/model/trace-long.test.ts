/** `model.trace` of texts that go through in parts: the bits of one piece, entropy without weights, tensors in a folder. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Trace, type TraceOptions } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { layerTensorNames } from '../../lib/trace/layer-tensors.js';
import { runTrace } from '../../lib/trace/run-trace.js';
import { parseTraceOptions } from '../../lib/trace/trace-options.js';
import { expectSameBits, expectWithin, fixtures } from './golden.js';
import { readTensor } from './testing-addon.js';

const families = readdirSync(`${fixtures}families`);
const everything = ['token_embed', 'embed', 'final_norm', 'logits', ...layerTensorNames] as const;

/** As if a step had so few tokens. */
function traceInParts(
  model: Model,
  ids: Int32Array,
  stepTokens: number,
  options: TraceOptions,
): Promise<Trace> {
  const traced = { ...tracedOf(model), stepTokens };
  return runTrace(traced, ids, undefined, parseTraceOptions(options, traced.spec));
}

function expectSameTraces(actual: Trace, expected: Trace): void {
  expect(actual.tensors.map(({ name, shape }) => [name, shape])).toEqual(
    expected.tensors.map(({ name, shape }) => [name, shape]),
  );
  for (const { name, values } of expected.tensors) expectSameBits(actual.get(name).values, values, name);
  const { tensors: _, ...facts } = expected.toJSON() as { tensors: unknown };
  expect(actual.toJSON()).toMatchObject(facts);
}

const text = Int32Array.from({ length: 40 }, (_, i) => 3 + ((i * 7) % 50));

describe.each([...families.map((name) => `${fixtures}families/${name}`), 'stories-260k'])(
  '%s',
  (reference) => {
    it('in parts has the bits of one piece', async () => {
      await using model = await Model.load(reference, { device: 'cpu' });
      const options: TraceOptions = { tensors: everything, lens: 2, tokens: [5, 33] };
      const whole = await model.trace(text, options);
      expect(whole.get('embed').shape[0]).toBe(28);
      for (const stepTokens of [16, 7])
        expectSameTraces(await traceInParts(model, text, stepTokens, options), whole);
    });
  },
);

it('attribution and interventions are those of one piece', async () => {
  await using model = await Model.load('stories-260k', { device: 'cpu' });
  const { hiddenSize } = model.info;
  const residual = Float32Array.from({ length: text.length * hiddenSize }, (_, i) => Math.sin(i));
  for (const options of [
    { attribute: { position: 20 } },
    { attribute: { position: 3, token: 9 }, interventions: [{ layer: 1, head: 2, skip: true, token: 12 }] },
    {
      interventions: [
        { layer: 2, head: 5, skip: true },
        { layer: 3, skip: true },
      ],
    },
    { interventions: [{ layer: 0, residual }] },
  ] satisfies TraceOptions[]) {
    expectSameTraces(await traceInParts(model, text, 9, options), await model.trace(text, options));
  }
});

/** -sum(w ln w) of each row, [tokens, heads]; what a row lacks to 1 is its sink's. */
function entropies(
  { shape, values }: { shape: readonly number[]; values: Float32Array },
  sinks: boolean,
): number[] {
  const [heads, tokens, columns] = shape as [number, number, number];
  return Array.from({ length: tokens * heads }, (_, i) => {
    const row = (i % heads) * tokens + Math.floor(i / heads);
    const weights = Array.from(values.subarray(row * columns, (row + 1) * columns));
    if (sinks) weights.push(1 - weights.reduce((sum, weight) => sum + weight, 0));
    return weights.reduce((sum, weight) => (weight > 0 ? sum - weight * Math.log(weight) : sum), 0);
  });
}

it.each([
  ['stories-260k', false],
  [`${fixtures}families/gemma3_text`, false],
  [`${fixtures}families/gpt_oss`, true],
])('the entropy of attention in %s is that of its weights', async (reference, sinks) => {
  await using model = await Model.load(reference, { device: 'cpu' });
  const tensors = ['weights', 'attention_entropy'] as const;
  const trace = await model.trace(text, { tensors });
  const alone = await model.trace(text, {
    tensors: ['attention_entropy'],
    heads: [1, 3],
    predictions: false,
  });
  expect(alone.predictions).toEqual([]);
  for (const { name, layer, values } of trace.tensors.filter((one) => one.name.endsWith('.weights'))) {
    const { shape } = trace.get(name);
    const entropy = trace.get(`layers.${layer}.attention_entropy`);
    expect(entropy.shape).toEqual([text.length, shape[0]]);
    expectWithin(entropy.values, entropies({ shape, values }, sinks), 1e-5, name);
    expect(Math.max(...entropy.values)).toBeGreaterThan(0.5);
    const two = alone.get(`layers.${layer}.attention_entropy`);
    expect(two.shape).toEqual([text.length, 2]);
    for (let row = 0; row < text.length; row++) {
      expect(two.at(row)).toEqual(Float32Array.of(entropy.at(row, 1)[0]!, entropy.at(row, 3)[0]!));
    }
  }
});

describe('a folder', () => {
  let folder: string;
  let model: Model;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-trace-'));
    model = await Model.load('stories-260k', { device: 'cpu' });
  });
  afterAll(async () => {
    await model.dispose();
    rmSync(folder, { recursive: true });
  });

  it('gets the tensors of memory, in parts and in one piece', async () => {
    const options: TraceOptions = { tensors: everything, heads: [1, 4], tokens: [2, 39] };
    const held = await model.trace(text, options);
    for (const stepTokens of [512, 11]) {
      const target = join(folder, 'deep', `${stepTokens}`);
      const stored = await traceInParts(model, text, stepTokens, { ...options, folder: target });
      expect(readdirSync(target).sort()).toEqual(['tensors.safetensors', 'trace.json']);
      for (const { name, values, shape, statistics } of held.tensors) {
        expectSameBits(readTensor([join(target, 'tensors.safetensors')], name), values, name);
        expectSameBits(stored.get(name).values, values, name);
        expect(stored.get(name).shape).toEqual(shape);
        const { mean, rms, ...exact } = statistics;
        expect(stored.get(name).statistics).toMatchObject(exact);
        expect(stored.get(name).statistics.rms).toBeCloseTo(rms, 6);
        expect(stored.get(name).statistics.mean).toBeCloseTo(mean, 6);
      }
      const weights = held.get('layers.2.weights');
      expectSameBits(stored.get('layers.2.weights').at(1, 20), weights.at(1, 20), 'a row');
      expect(() => stored.get('layers.2.weights').at(2)).toThrow(RangeError);
      expectSameBits(stored.get('layers.2.weights').at(1, 20, 7), weights.at(1, 20, 7), 'a value');
      const saved = JSON.parse(readFileSync(join(target, 'trace.json'), 'utf8'));
      expect(saved).toEqual(JSON.parse(JSON.stringify(stored)));
      // And from there into another one.
      const copy = join(folder, `copy-${stepTokens}`);
      await stored.save(copy);
      await stored.save(target);
      for (const one of [copy, target]) {
        const file = readFileSync(join(one, 'tensors.safetensors'));
        expect(file.equals(readFileSync(join(target, 'tensors.safetensors')))).toBe(true);
      }
    }
  });

  it('has nothing of a trace that ends early', async () => {
    const target = join(folder, 'early');
    const stop = new AbortController();
    const reason = new Error('enough');
    const tracing = traceInParts(model, text, 9, {
      folder: target,
      signal: stop.signal,
      onProgress: ({ done }) => done === 2 && stop.abort(reason),
    });
    await expect(tracing).rejects.toBe(reason);
    expect(readdirSync(target)).toEqual([]);
  });

  it('that cannot be made is what the file system says, and the model goes on', async () => {
    await expect(model.trace(text, { folder: '/dev/null/none' })).rejects.toMatchObject({ code: 'ENOTDIR' });
    expect((await model.trace(text, { tensors: [] })).predictions).toHaveLength(text.length);
  });
});

it('more than the context has are refused, with both numbers', async () => {
  await using model = await Model.load('stories-260k', { device: 'cpu', contextLength: 64 });
  await expect(model.trace(Int32Array.from({ length: 65 }, () => 5))).rejects.toMatchObject({
    code: 'CONTEXT_OVERFLOW',
    details: { tokens: 65, limit: 64 },
  });
});
