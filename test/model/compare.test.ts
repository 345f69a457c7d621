/** `compare()` on the embedded story model. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { compare } from '../../lib/compare/compare.js';
import { KvasirError } from '../../lib/errors.js';
import type { CompareProgress } from '../../lib/compare/options.js';
import type { CompareReport } from '../../lib/compare/report.js';
import * as memory from '../../lib/memory.js';
import { Model } from '../../lib/model.js';
import { packageRoot } from '../../lib/native.js';
import { describeAt, logitsOf, withModel } from './native-model.js';
import { naiveKl } from './naive-kl.js';

vi.mock('../../lib/memory.js', { spy: true });
afterEach(() => {
  vi.restoreAllMocks();
  vi.resetAllMocks();
});

const reference = 'stories-260k';
const text = readFileSync(join(packageRoot, 'texts/frankenstein.txt'), 'utf8').slice(0, 6000);
const quality = { latency: false, layers: false, memory: false, text, windows: 3, windowTokens: 64 } as const;
const quick = { text, windows: 2, windowTokens: 64, promptLengths: [16, 64], latencySeconds: 0 } as const;

describe('compare: quality', () => {
  it('follows the protocol: windows fed alone, BOS first, the second half scored', async () => {
    const report = await compare(reference, quality);
    const described = await describeAt(join(packageRoot, 'models', reference));
    const model = await Model.load(reference);
    const plain = await model.tokenizer.encodeAsync(text, { addSpecialTokens: false });
    const bos = model.tokenizer.bosTokenId!;
    await model.dispose();
    const ids = [bos, ...plain];
    const windows = [0, 1, 2].map((i) => [bos, ...ids.slice(64 * i + 1, 64 * (i + 1))]);
    const rowsOf = (dtype: 'fp32' | 'int8') =>
      withModel(described, { dtype, contextLength: 64, kvCapacity: 64 }, async (native) => {
        const rows: Float32Array[] = [];
        for (const window of windows) rows.push(...(await logitsOf(native, window)).slice(32, 63));
        return rows;
      });
    const [fp32, int8] = [await rowsOf('fp32'), await rowsOf('int8')];
    const kl = fp32.map((row, i) => naiveKl(row, int8[i]!));
    const nll = (rows: Float32Array[]) =>
      rows.reduce((sum, row, i) => {
        const target = windows[Math.floor(i / 31)]![33 + (i % 31)]!;
        return sum - (row[target]! - Math.log(row.reduce((total, x) => total + Math.exp(x), 0)));
      }, 0) / rows.length;

    expect(report.quality).toMatchObject({ windows: 3, windowTokens: 64, rows: 93 });
    expect(report.text).toMatchObject({ tokens: ids.length, windows: 3 });
    expect(report.quality!.meanKl).toBeCloseTo(kl.reduce((a, b) => a + b, 0) / 93, 6);
    expect(report.quality!.maxKl).toBeCloseTo(Math.max(...kl), 6);
    expect(report.quality!.meanKl).toBeGreaterThan(1e-4);
    expect(report.quality!.perplexity[0]).toBeCloseTo(Math.exp(nll(fp32)), 4);
    expect(report.quality!.perplexity[1]).toBeCloseTo(Math.exp(nll(int8)), 4);
  });

  it('finds no difference between a mode and itself', async () => {
    for (const mode of ['fp32', 'int8'] as const) {
      const report = await compare(reference, { ...quality, a: mode, b: mode, maxKl: 0 });
      expect(report.modes).toEqual([mode, `${mode} again`]);
      expect(report.quality).toMatchObject({
        meanKl: 0,
        maxKl: 0,
        sameTop1: 1,
        perplexityRatio: 1,
        perplexityRatioError: 0,
      });
      expect(report.quality!.firstDivergence!.map(({ firstDifferent }) => firstDifferent)).toEqual([
        null,
        null,
        null,
      ]);
      expect(report.checks).toMatchObject([{ name: 'maxKl', passed: true, value: 0 }]);
    }
  });

  it('says where greedy text goes apart', async () => {
    const { quality: q } = await compare(reference, { ...quality, windows: 24 });
    const all = q!.firstDivergence!;
    expect(all).toHaveLength(4);
    for (const { firstDifferent, text: texts, tokens } of all) {
      expect(tokens).toBe(33);
      expect(texts[0] === texts[1]).toBe(firstDifferent === null);
    }
    expect(all.some(({ firstDifferent }) => firstDifferent !== null)).toBe(true);
  });

  it('gives the same where only one mode fits in memory', async () => {
    const both = await compare(reference, quality);
    const load = vi.spyOn(Model, 'load');
    // The first load finds room, the second does not; then there is room for one model, and for the rows of one window.
    let asked = 0;
    vi.mocked(memory.requireMemory).mockImplementation(() => {
      if (++asked === 2) throw new KvasirError('INSUFFICIENT_MEMORY', 'no room');
    });
    vi.mocked(memory.availableMemory).mockReturnValue(2 * 31 * 512 * 4);
    const apart = await compare(reference, { ...quality, latency: true, promptLengths: [16] });
    // a, b refused, b; a for its speed, b for its; then a and b for each of three windows, b being there for greedy text
    // after a's.
    const dtypes = load.mock.calls.map(([, options]) => options!.dtype);
    expect(dtypes.slice(0, 3)).toEqual(['fp32', 'int8', 'int8']);
    expect(dtypes.filter((dtype) => dtype === 'fp32').length).toBeGreaterThanOrEqual(5);
    expect(apart.quality).toEqual(both.quality);
    expect(apart.machine.interleaved).toBe(false);
    expect(apart.runs.map(({ samples }) => [samples.prefill.length, samples.decode.length])).toEqual([
      [6, 12],
      [6, 12],
    ]);
  });
});

describe('compare: the whole report', () => {
  it('has speed, memory, quality and what really ran', async () => {
    const progress: CompareProgress[] = [];
    const report = await compare(reference, {
      ...quick,
      threads: 1,
      minSpeedup: 1e9,
      onProgress: (state) => progress.push(state),
    });
    expect(report).toMatchObject({ model: reference, architecture: 'llama', complete: true, missing: [] });
    expect(report.fp32).toMatchObject({ dtype: 'fp32', kvDtype: 'fp32', device: 'cpu', threads: 1 });
    expect(report.int8).toMatchObject({ dtype: 'int8', kvDtype: 'int8', contextLength: 96 });
    expect(report.machine).toMatchObject({ node: process.version, interleaved: true });
    expect(report.machine.noisy).toBe(report.machine.spread! > report.machine.spreadBound);

    expect(report.runs.map(({ mode, promptTokens, depth }) => [mode, promptTokens, depth])).toEqual([
      ['fp32', 16, 16],
      ['int8', 16, 16],
      ['fp32', 64, 64],
      ['int8', 64, 64],
    ]);
    for (const { samples, p95, ...run } of report.runs) {
      for (const name of ['ttftMs', 'prefill', 'decode'] as const) {
        const sorted = [...samples[name]].sort((x, y) => x - y);
        const half = sorted.length / 2;
        // Two of each side in a quad, of which there are six at least for decoding and three for prompts, however slow.
        expect(half).toBeGreaterThanOrEqual(name === 'decode' ? 6 : 3);
        expect(run[name]).toBeCloseTo((sorted[half - 1]! + sorted[half]!) / 2, 6);
        expect(sorted[0]).toBeGreaterThan(0);
      }
      expect(p95.ttftMs).toBeGreaterThanOrEqual(run.ttftMs);
      expect(p95.decode).toBeLessThanOrEqual(run.decode);
    }
    expect(report.speedup!.prefill).toMatchObject({ promptTokens: 64 });
    expect(report.speedup!.decode).toMatchObject({ promptTokens: 16 });
    for (const { ratio, low, high, significant, quads, endedBy } of Object.values(report.speedup!)) {
      expect(low).toBeLessThanOrEqual(ratio);
      expect(high).toBeGreaterThanOrEqual(ratio);
      expect(significant).toBe(low > 1 || high < 1);
      expect(quads).toBeGreaterThanOrEqual(3);
      expect(endedBy).toBe(Math.sqrt(high / low) <= 1.02 ? 'aim' : 'limit');
    }
    expect(report.checks).toMatchObject([{ name: 'minSpeedup', passed: false, bound: 1e9 }]);

    expect(Object.keys(report.memory)).toEqual(['fp32', 'int8']);
    for (const mode of Object.values(report.memory)) {
      expect(mode.predicted).toBeGreaterThanOrEqual(mode.weights + mode.kv + mode.scratch);
      expect(mode.peakRss).toBeGreaterThan(mode.baseRss);
      expect(mode.contextTokens).toBe(96);
    }
    expect(report.memory.int8!.weights).toBeLessThan(0.4 * report.memory.fp32!.weights);

    const phases = progress.map(({ phase }) => phase).filter((phase, i, all) => phase !== all[i - 1]);
    expect(phases).toEqual(['load', 'latency', 'quality', 'layers', 'memory']);
    const known = progress.filter(({ phase, secondsLeft }) => phase !== 'load' && secondsLeft !== undefined);
    expect(known.length).toBeGreaterThan(progress.filter(({ phase }) => phase !== 'load').length / 2);
    expect(structuredClone(report)).toEqual(JSON.parse(JSON.stringify(report)));
  });

  it('leaves out prompts that do not fit, and refuses those that were asked for', async () => {
    const small = await compare('nano-gpt-sort', {
      text: 'ABC'.repeat(40),
      memory: false,
      latencySeconds: 0,
    });
    expect(small.quality).toMatchObject({ windowTokens: 11, windows: 10, rows: 50 });
    expect(small.runs.map(({ promptTokens }) => promptTokens)).toEqual([1, 1]);
    const asked = compare(reference, { ...quick, promptLengths: [16, 500] });
    await expect(asked).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      details: { option: 'promptLengths' },
    });
  });
});

describe('compare: bad input', () => {
  it.each([
    [{ text: '' }, /Option text is 'empty'/],
    [{ text: ' \n ' }, /Option text is 'empty'/],
    [{ text: 'ELF\0\0' }, /binary/],
    [{ text: 'Too short.' }, /has \d+ tokens, fewer than one window of 512/],
    [{ text: 'Too short.', windowTokens: 64 }, /at least 64 tokens long/],
    [{ windowTokens: 4096 }, /at most 512 for this model/],
    [{ a: 'int4' }, /Option a is 'int4'/],
    [{ windows: 0 }, /Option windows is 0/],
    [{ maxKl: -1 }, /Option maxKl is -1/],
    [{ quality: false, maxKl: 1 }, /Option maxKl is 1; it must be absent/],
    [{ latency: false, quality: false, layers: false, memory: false }, /Option memory is false/],
    [{ colour: 'red' }, /compare has no option colour/],
  ] as const)('refuses %j', async (options, message) => {
    const load = vi.spyOn(Model, 'load');
    await expect(compare(reference, options as never)).rejects.toThrow(message);
    // Whatever can be known from the options is known before anything is loaded.
    if (!/fewer/.test(message.source)) expect(load).not.toHaveBeenCalled();
  });

  it('knows models that are not there', async () => {
    await expect(compare('./no-such-model')).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });
});

describe('compare: an abort', () => {
  const interrupted = async (phase: string): Promise<CompareReport> => {
    const stop = new AbortController();
    return compare(reference, {
      ...quick,
      signal: stop.signal,
      onProgress: (state) => {
        if (state.phase === phase && state.done > 0) stop.abort(new Error('enough'));
      },
    });
  };

  it('gives what there is, and says what is missing', async () => {
    const early = await interrupted('latency');
    expect(early).toMatchObject({ complete: false, missing: ['latency', 'quality', 'layers', 'memory'] });
    expect(early.quality).toBeUndefined();
    const late = await interrupted('quality');
    expect(late).toMatchObject({ complete: false, missing: ['quality', 'layers', 'memory'] });
    expect(late.quality).toMatchObject({ windows: 1, rows: 31 });
    expect(late.quality).not.toHaveProperty('firstDivergence');
    expect(late.runs).toHaveLength(4);
    const third = await interrupted('layers');
    expect(third.missing).toEqual(['layers', 'memory']);
    expect(third.layers.map(({ name }) => name)).toEqual(['embed.tokens']);
    const last = await interrupted('memory');
    expect(last.missing).toEqual(['memory']);
    expect(Object.keys(last.memory)).toEqual(['fp32']);
  });

  it('before anything is measured rejects with its reason', async () => {
    await expect(compare(reference, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
    await expect(interrupted('load')).rejects.toThrow('enough');
  });
});
