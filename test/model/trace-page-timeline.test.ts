/** The timeline in the page's data: the times of the trace, the bytes and the operations of what the model is made of. */
import { describe, expect, it } from 'vitest';
import { Model, type Trace } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import type { PageData } from '../../lib/trace-page/page-data.js';
import { type PageOp, pageTimeline } from '../../lib/trace-page/page-timeline.js';
import { pageContent, pageTraceOptions } from '../../lib/trace-page/trace-page.js';
import { fixtures } from './golden.js';

const tokens = 12;
const textOf = (length: number): Int32Array => Int32Array.from({ length }, (_, i) => 5 + ((i * 37) % 120));
const ids = textOf(tokens);

interface Made {
  trace: Trace;
  data: PageData;
}

async function made(family: string, dtype: 'fp32' | 'int8' = 'fp32', text = ids): Promise<Made> {
  await using model = await Model.load(`${fixtures}${family}`, { device: 'cpu', dtype });
  const traced = tracedOf(model);
  const trace = await model.trace(text, pageTraceOptions(traced));
  const { data } = await pageContent({ info: model.info, traced }, trace, undefined);
  return { trace, data };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const opsOf = ({ data }: Made, layer: number, ...kinds: PageOp['kind'][]): PageOp[] =>
  data.timeline!.ops.filter((op) => op.layer === layer && kinds.includes(op.kind));

describe.each([
  'families/mistral',
  'families/gemma3_text',
  'families/mixtral',
  'families/qwen2_moe',
  'families/qwen3_next',
  'families/lfm2',
  'families/falcon',
  'encoders/bert',
])('%s', (family) => {
  it('has all of the time, and each op of each layer once', async () => {
    const { trace, data } = await made(family, 'int8');
    const { ops, lensNs } = data.timeline!;
    const { components } = trace.timeline!;
    expect(sum(ops.map(({ ns }) => ns)) + lensNs).toBe(sum(components.map(({ ns }) => ns)));
    const names = ops.map(({ op, layer }) => (layer < 0 ? op : `layers.${layer}.${op}`));
    expect(new Set(names)).toEqual(new Set(components.map(({ name }) => name)));
    expect(names).toHaveLength(new Set(names).size);
    for (const op of ops.filter(({ layer }) => layer >= 0)) {
      const own = components.filter(({ name }) => name === `layers.${op.layer}.${op.op}`);
      expect(op.ns, op.op).toBe(sum(own.map(({ ns }) => ns)));
      expect(op.outputBytes, op.op).toBe(sum(own.map(({ outputBytes }) => outputBytes)));
      if (op.op !== 'experts')
        expect(op.weightBytes, op.op).toBe(sum(own.map(({ weightBytes = 0 }) => weightBytes)));
    }
  });

  it('counts the operations of the drawing to scale for every token', async () => {
    const page = await made(family);
    const { scale, spec } = page.data;
    const operations = (ops: readonly PageOp[]): number => sum(ops.map((op) => op.operations));
    for (const { layer, kind, ...part } of scale.filter(({ layer }) => layer >= 0)) {
      if (kind === 'norm') continue;
      const { attention } = spec.layers[layer]!;
      let expected = tokens * part.operations;
      // The drawing says what the last token sees: of those before it a mask hides some.
      if (kind === 'attention' && attention?.causal)
        expected -= attention.heads * attention.headDim * tokens * (tokens - 1);
      expect(operations(opsOf(page, layer, kind)), `layer ${layer}: ${kind}`).toBe(expected);
    }
    const head = scale.find(({ kind }) => kind === 'output');
    const output = operations(opsOf(page, -1, 'output'));
    if (page.data.model.kind === 'decoder') expect(output).toBe(tokens * head!.operations);
    else expect(output).toBe(0);
  });
});

it.each(['families/gemma3_text', 'encoders/modernbert'])(
  'counts no operations of what windows hide in %s',
  async (family) => {
    // Longer than the windows.
    const { trace, data } = await made(family, 'fp32', textOf(30));
    const whole = data.spec.layers.map(({ attention }, layer) => {
      const { heads, headDim } = attention!;
      const weights = trace.get(`layers.${layer}.weights`);
      const seen = weights.values.reduce((count, weight) => count + (weight === 0 ? 0 : 1), 0);
      const op = data.timeline!.ops.find((one) => one.layer === layer && one.op === 'attention')!;
      expect(op.operations, `layer ${layer}`).toBe(2 * headDim * seen);
      return seen === heads * 30 * 30 || seen === (heads * 30 * 31) / 2;
    });
    expect(whole).toContain(false);
  },
);

it('reads the bytes of the drawing to scale, norms and what lies beside linears apart', async () => {
  const page = await made('families/mistral');
  for (const { layer, kind, bytes } of page.data.scale) {
    if (layer < 0 || kind === 'norm') continue;
    const read = sum(opsOf(page, layer, kind).map(({ weightBytes }) => weightBytes));
    expect(read, `layer ${layer}: ${kind}`).toBe(bytes);
  }
});

it('reads the experts that tokens chose, and no others', async () => {
  const page = await made('families/mixtral');
  const experts = page.data.spec.layers[0]!.feedForward.experts!;
  const chosen = new Set(
    Array.from({ length: tokens }, (_, i) => [...page.trace.get('layers.0.experts_used').at(i)]).flat(),
  );
  const op = page.data.timeline!.ops.find((one) => one.layer === 0 && one.op === 'experts')!;
  const router = page.data.timeline!.ops.find((one) => one.layer === 0 && one.op === 'router')!;
  const part = page.data.scale.find(({ layer, kind }) => layer === 0 && kind === 'feed-forward')!;
  expect(op.weightBytes).toBe(((part.bytes - router.weightBytes) * chosen.size) / experts.count);
});

it('keeps the logit lens apart from the output of the model', async () => {
  await using model = await Model.load(`${fixtures}families/mistral`, { device: 'cpu' });
  const traced = tracedOf(model);
  const options = { ...pageTraceOptions(traced), lens: 0 };
  const plain = pageTimeline(traced, await model.trace(ids, options))!;
  const { ops, lensNs } = pageTimeline(traced, await model.trace(ids, pageTraceOptions(traced)))!;
  expect(plain.lensNs).toBe(0);
  expect(lensNs).toBeGreaterThan(0);
  const untimed = (all: readonly PageOp[]): object[] => all.map((op) => ({ ...op, ns: 0 }));
  expect(untimed(ops)).toEqual(untimed(plain.ops));
});

it('is not there where nothing was timed', async () => {
  await using model = await Model.load(`${fixtures}families/mistral`, { device: 'cpu' });
  const traced = tracedOf(model);
  expect(pageTraceOptions({ ...traced, info: { ...traced.info, device: 'cuda:0' } }).timeline).toBe(false);
  expect(pageTimeline(traced, await model.trace(ids))).toBeUndefined();
});
