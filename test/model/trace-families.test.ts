/** `model.trace` of every family: the reference's residual stream, the bits of the logits that generate, and attribution. */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Trace } from '../../lib/index.js';
import { logitsOf, tracedOf } from '../../lib/model.js';
import { attentionOf, seesAhead } from '../../lib/spec.js';
import { runTrace } from '../../lib/trace/run-trace.js';
import { parseTraceOptions } from '../../lib/trace/trace-options.js';
import {
  expectErrorWithin,
  expectSameBits,
  expectWithin,
  fixtures,
  type GoldenError,
  type GoldenTensor,
  readGolden,
  valuesOf,
} from './golden.js';
import { describeAt, joined } from './native-model.js';

const loadOnCpu = (reference: string, dtype: 'fp32' | 'int8') =>
  Model.load(reference, { device: 'cpu', dtype });

/** Of each token, as the steps of the engine give them. */
async function engineLogits(model: Model, ids: Int32Array): Promise<Float32Array> {
  const rows: Float32Array[] = [];
  for await (const row of logitsOf(model, ids, 0)) rows.push(new Float32Array(row));
  return joined(rows);
}

/** Families whose final norm takes the mean away. */
const layerNormed = ['cohere2', 'falcon', 'gpt_neox', 'phi', 'stablelm', 'starcoder2'];
/** o has a bias, which no head brings. */
const biased = ['gpt_oss', 'ernie4_5', 'ernie4_5_moe', 'granite', 'granitemoe', 'granitemoeshared'];
/** So has the head. */
const headBiased = ['ernie4_5_moe'];
interface FamilyGolden {
  prompts: { ids: number[]; hidden: GoldenTensor; logits: GoldenTensor }[];
  float32Error: { hidden: GoldenError; logits: GoldenError };
}

/** Of a model in FP32. */
function testAttribution(reference: string, modelOf: () => Model): void {
  it('the contributions to a logit add up to it, and those of heads to their attention', async () => {
    const model = modelOf();
    const ids = Int32Array.of(3, 17, 5, 60, 41, 8, 29);
    const attribute = { position: 4, token: 23 };
    const trace = await model.trace(ids, { attribute, tensors: ['logits'] }).catch((error) => error);
    if (trace instanceof Error) {
      expect(trace).toMatchObject({ code: 'INVALID_OPTION', details: { option: 'attribute' } });
      expect(layerNormed).toContain(reference.split('/').at(-1));
      return;
    }
    const { attribution } = trace as Trace;
    const { logitsSoftCap: cap } = (await describeAt(reference)).spec;
    const given = trace.get('logits').at(4)[23]!;
    const logit = cap === undefined ? given : cap * Math.atanh(given / cap);
    const whole = attribution.filter(({ part }) => part !== 'head');
    const size = whole.reduce((sum, one) => sum + Math.abs(one.logit), Math.abs(logit));
    const sum = whole.reduce((total, one) => total + one.logit, 0);
    expect(Math.abs(sum - logit) / size).toBeLessThan(1e-12);
    expect(attribution.at(-1)!.part).toBe('rest');
    if (!headBiased.includes(reference.split('/').at(-1)!))
      expect(Math.abs(attribution.at(-1)!.logit) / size).toBeLessThan(2e-5);
    for (const { layer, logit: attention } of attribution.filter(({ part }) => part === 'attention')) {
      const heads = attribution.filter((one) => one.layer === layer && one.part === 'head');
      if (heads.length === 0) continue;
      const total = heads.reduce((all, one) => all + one.logit, 0);
      if (!biased.includes(reference.split('/').at(-1)!))
        expect(Math.abs(total - attention) / size).toBeLessThan(2e-5);
    }
  });
}

describe.each(readdirSync(`${fixtures}families`))('%s', (family) => {
  const folder = `${fixtures}families/${family}`;
  const { prompts, float32Error } = readGolden<FamilyGolden>(`families/${family}/golden.json`);
  let exact: Model;
  beforeAll(async () => {
    exact = await loadOnCpu(folder, 'fp32');
  });
  afterAll(() => exact?.dispose());

  it('the residual stream behind every layer is that of the reference', async () => {
    const hidden: Float32Array[] = [];
    for (const { ids } of prompts) {
      const trace = await exact.trace(Int32Array.from(ids), {
        tensors: ['embed', 'ffn_residual', 'final_norm'],
      });
      hidden.push(...trace.tensors.map(({ values }) => values));
    }
    const expected = joined(prompts.map((prompt) => valuesOf(prompt.hidden) as Float32Array));
    expectErrorWithin(joined(hidden), expected, float32Error.hidden, 2, 'hidden states');
  });

  it('scores are the scaled products of the queries and keys that it shows', async () => {
    expect(exact.info.kvDtype).toBe('fp32');
    const { spec } = tracedOf(exact);
    const trace = await exact.trace(Int32Array.from(prompts[0]!.ids), {
      tensors: ['q_rotated', 'k_rotated', 'scores', 'weights'],
    });
    let layers = 0;
    for (let layer = 0; layer < spec.stack.layers.length; layer++) {
      const attention = attentionOf(spec, layer);
      if (attention === undefined) continue;
      layers++;
      const [q, k, s, w] = ['q_rotated', 'k_rotated', 'scores', 'weights'].map((name) =>
        trace.get(`layers.${layer}.${name}`),
      );
      const { heads, kvHeads, headDim, softCap, scale = 1 / Math.sqrt(headDim) } = attention;
      const [actual, expected]: number[][] = [[], []];
      for (let i = 0; i < s!.values.length; i++) {
        if (w!.values[i] === 0) continue;
        const n = trace.tokens.length;
        const [head, row, key] = [Math.floor(i / (n * n)), Math.floor(i / n) % n, i % n];
        const keys = k!.at(Math.floor((head * kvHeads) / heads), key);
        const product = scale * q!.at(head, row).reduce((sum, value, d) => sum + value * keys[d]!, 0);
        expected!.push(softCap === undefined ? product : softCap * Math.tanh(product / softCap));
        actual!.push(s!.values[i]!);
      }
      const size = Math.max(...expected!.map(Math.abs));
      expectWithin(actual!, expected!, 1e-5 * (1 + size), `layer ${layer}`);
    }
    expect(layers).toBeGreaterThan(0);
  });

  it.each(['fp32', 'int8'] as const)('logits have the bits of those that generate, %s', async (dtype) => {
    const ids = Int32Array.from(prompts[0]!.ids);
    const model = dtype === 'fp32' ? exact : await loadOnCpu(folder, dtype);
    try {
      const trace = await model.trace(ids, { tensors: ['logits'] });
      expectSameBits(trace.get('logits').values, await engineLogits(model, ids), 'logits');
    } finally {
      if (model !== exact) await model.dispose();
    }
  });

  testAttribution(folder, () => exact);
});

describe('stories-260k', () => {
  let exact: Model;
  beforeAll(async () => {
    exact = await loadOnCpu('stories-260k', 'fp32');
  });
  afterAll(() => exact?.dispose());
  testAttribution('stories-260k', () => exact);
});

describe.each(readdirSync(`${fixtures}encoders`))('%s', (family) => {
  it('the residual stream of an encoder, its final norm too, is that of the reference, whole texts at once', async () => {
    const { prompts, float32Error } = readGolden<FamilyGolden>(`encoders/${family}/golden.json`);
    await using model = await loadOnCpu(`${fixtures}encoders/${family}`, 'fp32');
    for (const { ids, hidden } of prompts) {
      const tensors = ['embed', 'ffn_residual', 'final_norm'] as const;
      const trace = await model.trace(Int32Array.from(ids), { tensors });
      expect(trace.predictions).toEqual([]);
      expect(trace.has('final_norm')).toBe(tracedOf(model).spec.finalNorm !== false);
      const states = joined(trace.tensors.map(({ values }) => values));
      const expected = valuesOf(hidden) as Float32Array;
      expect(states).toHaveLength(expected.length);
      expectErrorWithin(states, expected, float32Error.hidden, 2, 'hidden states');
    }
  });

  it('a text that is longer than a step is refused: its tokens see later ones', async () => {
    await using model = await loadOnCpu(`${fixtures}encoders/${family}`, 'int8');
    const { spec, stepTokens } = tracedOf(model);
    const traced = { ...tracedOf(model), stepTokens: 4 };
    expect(seesAhead(spec) && stepTokens > 4).toBe(true);
    const tracing = runTrace(traced, Int32Array.of(5, 6, 7, 8, 9), undefined, parseTraceOptions({}, spec));
    await expect(tracing).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
      details: { tokens: 5, limit: 4 },
    });
  });
});
