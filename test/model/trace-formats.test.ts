/** The files of a trace: NumPy's archive as another program reads it, and where the time went, for two kinds of viewers. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ComponentTime, Model, type Timeline, type Trace } from '../../lib/index.js';
import { kvasir } from '../cli/cli-command.js';
import { expectSameBits } from './golden.js';

let folder: string;
let model: Model;
let trace: Trace;
let wallMs: number;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-formats-'));
  model = await Model.load('nano-gpt-sort', { device: 'cpu', dtype: 'fp32' });
  const began = performance.now();
  trace = await model.trace('CBABBC', {
    tensors: ['embed', 'q', 'weights', 'logits', 'ffn_residual'],
    generate: 3,
    timeline: true,
  });
  wallMs = performance.now() - began;
  await trace.save(folder, { formats: ['safetensors', 'npz', 'chrome', 'otlp'] });
});
afterAll(async () => {
  await model.dispose();
  rmSync(folder, { recursive: true });
});

const json = (name: string, from = folder) => JSON.parse(readFileSync(join(from, name), 'utf8'));

/** Checks each entry's sum as it reads it, and the header as NumPy's format 1.0 has it. */
const readNpz = `
import ast, json, struct, sys, zipfile
found = {}
with zipfile.ZipFile(sys.argv[1]) as archive:
    for name in archive.namelist():
        data = archive.read(name)
        assert data[:8] == b'\\x93NUMPY\\x01\\x00', name
        length = struct.unpack('<H', data[8:10])[0]
        assert (10 + length) % 64 == 0 and data[9 + length:10 + length] == b'\\n', name
        header = ast.literal_eval(data[10:10 + length].decode('ascii'))
        assert header['descr'] == '<f4' and header['fortran_order'] is False, name
        count = 1
        for n in header['shape']: count *= n
        values = struct.unpack(f'<{count}f', data[10 + length:])
        found[name] = [list(header['shape']), list(values)]
print(json.dumps(found))
`;

it('an .npz holds every tensor, as Python reads archives', () => {
  const text = execFileSync('python3', ['-c', readNpz, join(folder, 'tensors.npz')], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const found = JSON.parse(text) as Record<string, [number[], number[]]>;
  expect(Object.keys(found)).toEqual(trace.tensors.map(({ name }) => `${name}.npy`));
  for (const { name, shape, values } of trace.tensors) {
    expect(found[`${name}.npy`]![0]).toEqual(shape);
    expectSameBits(Float32Array.from(found[`${name}.npy`]![1]), values, name);
  }
});

describe('the timeline', () => {
  it('has the ops of every layer in their order, without overlap, within the time that the trace took', () => {
    const { components, startedAt } = trace.timeline!;
    const layer = ['attn_norm', 'qkv', 'attention', 'attn_residual', 'ffn_norm', 'gate_up', 'activation'];
    const names = components.map(({ name }) => name);
    expect(names).toEqual([
      ...['token_embed', 'embed'],
      ...[0, 1, 2].flatMap((n) => [...layer, 'ffn_residual'].map((name) => `layers.${n}.${name}`)),
      ...['final_norm', 'logits'],
    ]);
    let end = 0;
    for (const { startNs, ns, tokens, position } of components) {
      expect(startNs).toBeGreaterThanOrEqual(end);
      expect(ns).toBeGreaterThan(0);
      end = startNs + ns;
      expect([position, tokens]).toEqual([0, 9]);
    }
    expect(end).toBeLessThan(wallMs * 1e6);
    expect(Math.abs(Date.now() - startedAt)).toBeLessThan(120_000);
  });

  it('says which weights an op read and what it wrote', () => {
    const of = (name: string): ComponentTime => trace.timeline!.components.find((one) => one.name === name)!;
    expect(of('layers.1.qkv')).toMatchObject({
      layer: 1,
      weightBytes: 4 * 48 * 144,
      outputBytes: 4 * 9 * 144,
    });
    expect(of('layers.1.ffn_residual')).toMatchObject({ weightBytes: 4 * 48 * 192, outputBytes: 4 * 9 * 48 });
    expect(of('logits')).toMatchObject({ weightBytes: 4 * 48 * 3, outputBytes: 4 * 9 * 3 });
    expect(of('layers.1.attention').weightBytes).toBeUndefined();
    expect(of('embed').layer).toBeUndefined();
  });

  it('has the bytes of INT8 blocks, and the same bits as a trace without it', async () => {
    await using quantized = await Model.load('stories-260k', { device: 'cpu' });
    const tensors = ['logits'] as const;
    const timed = await quantized.trace('Once upon a time', { tensors, timeline: true });
    const plain = await quantized.trace('Once upon a time', { tensors });
    expectSameBits(timed.get('logits').values, plain.get('logits').values, 'logits');
    expect(plain.timeline).toBeUndefined();
    const gateUp = timed.timeline!.components.find(({ name }) => name === 'layers.0.gate_up')!;
    // 2 x 172 output columns in panels of 32, 64 values of k.
    expect(gateUp.weightBytes).toBe(Math.ceil((2 * 172) / 32) * 2112);
  });

  it("in Chrome's format is one complete event an op, in microseconds", () => {
    const { traceEvents, displayTimeUnit } = json('timeline.json');
    expect(displayTimeUnit).toBe('ns');
    const events = traceEvents.filter(({ ph }: { ph: string }) => ph === 'X');
    const { components } = trace.timeline!;
    expect(events).toHaveLength(components.length);
    for (const [i, { name, startNs, ns, weightBytes, outputBytes }] of components.entries()) {
      expect(events[i]).toMatchObject({ name, ts: startNs / 1000, dur: ns / 1000, pid: 1, tid: 1 });
      expect(events[i].args).toMatchObject(
        weightBytes === undefined ? { outputBytes, ns } : { weightBytes, outputBytes, ns },
      );
    }
    expect(traceEvents.filter(({ ph }: { ph: string }) => ph === 'M')).toHaveLength(2);
  });

  it("as OpenTelemetry's spans is a tree: the trace, runs of layers, their ops", () => {
    const { resourceSpans } = json('spans.json');
    const [{ resource, scopeSpans }] = resourceSpans;
    expect(resource.attributes).toContainEqual({ key: 'service.name', value: { stringValue: 'kvasir' } });
    const spans: Span[] = scopeSpans[0].spans;
    const [root] = spans as [Span];
    expect(root.name).toBe('trace');
    expect(root.parentSpanId).toBeUndefined();
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    expect(byId.size).toBe(spans.length);
    for (const span of spans) {
      expect(span.traceId).toBe(root.traceId);
      expect(span.traceId).toMatch(/^[0-9a-f]{32}$/);
      expect(span.spanId).toMatch(/^[0-9a-f]{16}$/);
      expect(span.kind).toBe(1);
      const [from, to] = [BigInt(span.startTimeUnixNano), BigInt(span.endTimeUnixNano)];
      expect(to >= from).toBe(true);
      if (span === root) continue;
      const parent = byId.get(span.parentSpanId!)!;
      expect(from >= BigInt(parent.startTimeUnixNano) && to <= BigInt(parent.endTimeUnixNano)).toBe(true);
    }
    const runs = spans.filter(({ parentSpanId }) => parentSpanId === root.spanId);
    expect(runs.map(({ name }) => name)).toEqual([
      'outside of layers',
      ...['layer 0', 'layer 1', 'layer 2'],
      'outside of layers',
    ]);
    const { components } = trace.timeline as Timeline;
    expect(spans).toHaveLength(1 + runs.length + components.length);
    const qkv = spans.find(({ name }) => name === 'layers.1.qkv')!;
    expect(byId.get(qkv.parentSpanId!)!.name).toBe('layer 1');
    expect(qkv.attributes).toContainEqual({ key: 'kvasir.weight_bytes', value: { intValue: '27648' } });
    const started = BigInt(Math.round(trace.timeline!.startedAt * 1e3)) * 1000n;
    expect(root.startTimeUnixNano).toBe(String(started));
  });
});

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: object[];
}

it('formats of time need a timeline, and unknown ones are refused', async () => {
  const plain = await model.trace('CBA', { tensors: ['embed'] });
  for (const format of ['chrome', 'otlp', 'csv']) {
    await expect(plain.save(join(folder, 'none'), { formats: [format as never] })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      details: { option: 'formats' },
    });
  }
  expect(readdirSync(folder)).not.toContain('none');
});

describe('kvasir inspect', () => {
  it('writes the files that --formats names, and shows how tokens were drawn', async () => {
    const out = join(folder, 'inspected');
    const { stdout, stderr, status } = await kvasir([
      ...[
        'inspect',
        'nano-gpt-sort',
        'CBA',
        '--generate',
        '2',
        '--draws',
        '--temperature',
        '0.9',
        '--seed',
        '3',
      ],
      ...['--out', out, '--formats', 'npz,chrome,otlp'],
    ]);
    expect(stderr).toContain(`tensors are in ${out}.`);
    expect(status).toBe(0);
    expect(readdirSync(out).sort()).toEqual([
      ...['spans.json', 'tensors.npz', 'tensors.safetensors', 'timeline.json', 'trace.json'],
    ]);
    const { draws } = json('trace.json', out) as Trace;
    expect(draws).toHaveLength(2);
    for (const { position, uniform } of draws) {
      expect(stdout).toContain(`${position} "`);
      expect(stdout).toContain(`drawn with ${uniform!.toFixed(6)}`);
    }
    expect(stdout).toMatch(/^ {2}logits, 3 left: /m);
    expect(stdout).toMatch(/^ {2}temperature, 3 left: /m);
  });

  it('refuses what is about nothing', async () => {
    for (const [flags, said] of [
      [['--formats', 'npz'], /--formats is about the files of --out/],
      [['--draws'], /--draws is about what --generate draws/],
      [['--out', folder, '--formats', 'csv'], /some of safetensors, npz, chrome, otlp/],
      [['--temperature', '1'], /sampling/],
      [['--html', join(folder, 'a.html'), '--seed', '1'], /--seed does not go with --html/],
    ] as const) {
      const { status, stderr } = await kvasir(['inspect', 'nano-gpt-sort', 'CBA', ...flags]);
      expect(status, flags.join(' ')).not.toBe(0);
      expect(stderr).toMatch(said);
    }
  });
});
