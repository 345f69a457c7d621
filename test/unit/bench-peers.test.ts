/** The pure parts of `npm run bench:peers`: statistics, llama-bench's JSON, the targets and how they are judged. */
import { describe, expect, it } from 'vitest';
import { familyOf } from '../../scripts/peers/engines.mjs';
import { bestOf, disturbance, shareOf, worstOf } from '../../scripts/peers/limits.mjs';
import { benchArguments, parseBench } from '../../scripts/peers/llama-bench.mjs';
import { marker, sectionOf, withSection } from '../../scripts/peers/markdown.mjs';
import { describeRun } from '../../scripts/peers/report.mjs';
import { median, quantityOf, ratioSpread, summarize } from '../../scripts/peers/statistics.mjs';
import { judge } from '../../scripts/peers/verdicts.mjs';
import { pairsOf, targets, targets1b, works } from '../../scripts/peers/works.mjs';

describe('statistics of rounds', () => {
  it('takes the middle, or the mean of the middle two', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([10, 9, 1, 2])).toBe(5.5);
  });

  it('leaves failed rounds out of the summary and keeps their place among the samples', () => {
    expect(summarize([3, null, 1])).toEqual({ median: 2, least: 1, most: 3, samples: [3, null, 1] });
    expect(summarize([null, null])).toBeUndefined();
  });

  it('compares round with round, where both have a value', () => {
    expect(ratioSpread([10, 30, null, 8], [5, 10, 1, null])).toEqual({ low: 2, high: 3 });
    expect(ratioSpread([null], [1])).toBeUndefined();
  });

  it('turns seconds into the unit of the work, over all sequences', () => {
    const answer = { firstTokenSeconds: 0.5, decodeSeconds: 2 };
    expect(quantityOf({ quantity: 'prefill', prompt: 512, tokens: 1, batch: 1 }, answer)).toBe(1024);
    expect(quantityOf({ quantity: 'decode', prompt: 16, tokens: 101, batch: 8 }, answer)).toBe(400);
    expect(quantityOf({ quantity: 'first', prompt: 16, tokens: 1, batch: 1 }, answer)).toBe(500);
  });
});

describe('llama-bench', () => {
  const printed = (fields: object) => `warning: something\n[\n  ${JSON.stringify(fields)}\n]\n`;
  const decode = works['decode-2048']!;
  const prefill = works['prefill-512']!;

  it('is asked for one test, decode at the depth of the prompt', () => {
    const options = { model: 'm.gguf', flash: true, threads: 2 };
    const text = benchArguments(decode, options).join(' ');
    expect(text).toContain('-m m.gguf -t 2 -p 0 -n 31 -d 2048 -fa 1 -r 1');
    expect(benchArguments(prefill, options).join(' ')).toContain('-p 512 -n 0 -fa 1 -r 1 -o json');
  });

  it('is read as nanoseconds of that test', () => {
    const test = { n_prompt: 0, n_gen: 31, n_depth: 2048, samples_ns: [500_000_000] };
    expect(quantityOf(decode, parseBench(printed(test), decode))).toBe(62);
    const prompt = { n_prompt: 512, n_gen: 0, n_depth: 0, samples_ns: [2_000_000_000] };
    expect(quantityOf(prefill, parseBench(printed(prompt), prefill))).toBe(256);
  });

  it('is not believed when it ran another test, or none', () => {
    const other = { n_prompt: 0, n_gen: 31, n_depth: 0, samples_ns: [5] };
    expect(() => parseBench(printed(other), decode)).toThrow(/not 0,31,2048/);
    expect(() => parseBench(printed({ ...other, n_depth: 2048, samples_ns: [0] }), decode)).toThrow(/0 ns/);
    expect(() => parseBench('error: failed to load model', decode)).toThrow(/no JSON/);
  });
});

describe('the limits of the machine', () => {
  const limits = (read: number, int8: number, fp32: number) => ({
    ...{ readBytesPerSecond: read, int8OpsPerSecond: int8, fp32FlopsPerSecond: fp32 },
  });
  const measured = [limits(30, 900, 220), limits(35, 940, 190)];

  it('are the best and the worst of each', () => {
    expect(bestOf(measured)).toEqual(limits(35, 940, 220));
    expect(worstOf(measured)).toEqual(limits(30, 900, 190));
  });

  it('tell how much of the machine something else had', () => {
    const tables = new Map([
      ['avx512vnni', measured],
      ['avx2', [limits(40, 300, 210), limits(20, 360, 220)]],
    ]);
    expect(disturbance(tables)).toBeCloseTo(1 - 300 / 360, 12);
    expect(disturbance(new Map())).toBe(0);
  });

  it('are what decode reads and prefill computes, weights read once for a batch', () => {
    const engine = { weightBytes: 100, layerWeights: 50, isFp32: false };
    const [decode, prefill] = (['decode', 'prefill'] as const).map((quantity) => ({ quantity, batch: 4 }));
    expect(shareOf(decode!, 2, limits(200, 1, 1), engine)).toBe(0.25);
    expect(shareOf(prefill!, 2, limits(1, 400, 800), engine)).toBe(0.5);
    expect(shareOf(prefill!, 2, limits(1, 400, 800), { ...engine, isFp32: true })).toBe(0.25);
  });
});

describe('targets', () => {
  const summary = (...samples: number[]) => summarize(samples)!;
  const measured = (results: Record<string, number[]>, more: object = {}) => ({
    results: new Map(Object.entries(results).map(([key, samples]) => [key, summary(...samples)])),
    singles: new Map(),
    missing: new Map(),
    kernels: 'avx512vnni',
    shares: new Map(),
    ...more,
  });
  const find = (work: string, against: string) =>
    targets.find((target) => target.work === work && target.against?.includes(against))!;

  it('compares with the best of the peers', () => {
    const target = find('decode-short', 'ctranslate2-int8');
    const results = {
      'decode-short kvasir-int8': [150, 160, 140],
      'decode-short llama-q8_0-fa0': [90, 100, 110],
      'decode-short llama-q8_0-fa1': [50, 50, 50],
      'decode-short ctranslate2-int8': [70, 70, 70],
    };
    expect(judge(target, measured(results))).toMatchObject({
      ...{ value: 1.5, chosen: 'llama-q8_0-fa0', verdict: 'reached' },
      spread: { low: 140 / 110, high: 150 / 90 },
    });
    results['decode-short ctranslate2-int8'] = [120, 120, 120];
    expect(judge(target, measured(results))).toMatchObject({ chosen: 'ctranslate2-int8', verdict: 'missed' });
  });

  it('turns milliseconds round: the peer over us', () => {
    const results = { 'first-16 kvasir-int8': [10], 'first-16 node-llama-cpp-q8_0': [45] };
    expect(judge(find('first-16', 'node-llama-cpp-q8_0'), measured(results))).toMatchObject({
      ...{ value: 4.5, verdict: 'aim' },
    });
  });

  it('leaves open what was not measured, and says why', () => {
    const target = find('prefill-512', 'ctranslate2-int8');
    const ours = { 'prefill-512 kvasir-int8': [1000] };
    const missing = new Map([['ctranslate2-int8', 'set-up failed: pip']]);
    const verdict = judge(target, measured(ours, { missing }));
    expect(verdict.verdict).toBe('open');
    expect(verdict.note).toContain('set-up failed: pip');
    expect(verdict).not.toHaveProperty('value');
  });

  it('says which of the peers were not there', () => {
    const target = find('decode-short', 'ctranslate2-int8');
    const results = { 'decode-short kvasir-int8': [150], 'decode-short ctranslate2-int8': [100] };
    expect(judge(target, measured(results)).note).toBe('without llama-q8_0-fa0, llama-q8_0-fa1');
  });

  it('leaves a target of another table of kernels open', () => {
    const target = targets.find(
      ({ kernels, work }) => kernels?.includes('avx512vnni') && work === 'prefill-512',
    )!;
    const results = { 'prefill-512 kvasir-int8': [300], 'fp32-prefill kvasir-fp32': [100] };
    expect(judge(target, measured(results))).toMatchObject({ value: 3, verdict: 'reached' });
    expect(judge(target, measured(results, { kernels: 'amx' })).verdict).toBe('reached');
    expect(judge(target, measured(results, { kernels: 'avx2' })).verdict).toBe('open');
  });

  it('grades milliseconds by their upper bound', () => {
    const target = targets.find(({ single }) => single === 'load-gguf')!;
    const verdict = (ms: number) =>
      judge(target, measured({}, { singles: new Map([['load-gguf', summary(ms)]]) })).verdict;
    expect([200, 201, 400, 401].map(verdict)).toEqual(['aim', 'reached', 'reached', 'missed']);
  });

  it('grades a share', () => {
    const target = targets.find(({ kind, work }) => kind === 'share' && work === 'decode-short')!;
    const verdict = (share: number) =>
      judge(
        target,
        measured(
          { 'decode-short kvasir-int8': [1] },
          { shares: new Map([['decode-short kvasir-int8', summary(share)]]) },
        ),
      ).verdict;
    expect([0.79, 0.8, 0.89, 0.9].map(verdict)).toEqual(['missed', 'reached', 'reached', 'aim']);
  });
});

describe('the pairs to measure', () => {
  it('are each there once, both sides of every ratio among them', () => {
    const pairs = pairsOf(targets).map(({ work, engine }) => `${work} ${engine}`);
    expect(new Set(pairs).size).toBe(pairs.length);
    expect(pairs).toContain('fp32-decode kvasir-fp32');
    // What is compared across works is measured in its own.
    expect(pairs).not.toContain('prefill-512 kvasir-fp32');
    expect(pairs).toContain('avx2-prefill llama-avx2-q8_0-fa1');
    expect(pairs.every((pair) => familyOf(pair.split(' ')[1]!) !== undefined)).toBe(true);
  });

  it('compare the bigger shape with llama.cpp at the ratios of the small one', () => {
    const bounds = targets1b.map(({ kind, work, atLeast, aim }) => [kind, work, atLeast, aim]);
    expect(bounds).toEqual([
      ['ratio', 'prefill-512', 6, 10],
      ['ratio', 'decode-short', 1.4, 1.7],
      ['share', 'decode-short', 0.8, 0.9],
      ['ratio', 'prefill-2048', 6, 10],
      ['ratio', 'decode-2048', 2.2, 3],
      ['ratio', 'first-16', 2, 4],
    ]);
  });

  it('know the longest family that an engine belongs to', () => {
    expect(familyOf('node-llama-cpp-q8_0')).toBe('node-llama-cpp');
    expect(familyOf('llama-avx2-q8_0-fa1')).toBe('llama');
  });
});

describe('the page of runs', () => {
  const page = `# Benchmarks\n\nAbout.\n\n${marker}\n\n## 2026-01-02, old, cpu\n\nkept\n`;

  function reportOf(share?: number) {
    const key = 'decode-short kvasir-int8';
    const limits = { readBytesPerSecond: 30e9, int8OpsPerSecond: 900e9, fp32FlopsPerSecond: 200e9 };
    const comparison = {
      options: { model: 'smollm2-135m', threads: 2, rounds: 3 },
      facts: new Map([['kvasir-int8', { kernels: 'avx2' }]]),
      limits: new Map([['avx2', [limits]]]),
      missing: new Map([['pytorch-float32', 'no wheel']]),
      results: () => new Map([[key, summarize([150, 160, 140])!]]),
      singleResults: () => new Map([['sampling', summarize([0.04, 0.05])!]]),
      shareResults: () => (share === undefined ? new Map() : new Map([[key, summarize([share])!]])),
    };
    const chosen = targets.filter(({ kind, work }) => kind === 'share' && work === 'decode-short');
    return describeRun(comparison as never, { targets: chosen, loadBefore: [0.25, 0, 0], seconds: 61 });
  }

  it('has a section with the date, the commit and every number of a run', () => {
    const section = sectionOf(reportOf(0.75), { date: '2026-11-30', commit: 'abc1234' });
    expect(section).toMatch(/^## 2026-11-30, smollm2-135m, /);
    for (const row of [
      '| commit | abc1234 |',
      '| kernels | avx2 |',
      '| avx2 | 30.0 (30.0) | 900 (900) | 200 (200) |',
      '| INT8 decode, short context | kvasir-int8 | 150 | 140 to 160 | tok/s | 75.0 % |',
      '| sampling a token, vocabulary 49k | kvasir-int8 | 0.045 | 0.040 to 0.050 | ms |  |',
      '| INT8 decode, short context | read bandwidth of the machine | 75.0 % | 75.0 % to 75.0 % | 80.0 % | MISSED |',
      '- pytorch-float32 not measured: no wheel',
    ])
      expect(section.split('\n')).toContain(row);
    const open = sectionOf(reportOf(), { date: '2026-11-30', commit: 'abc1234' });
    expect(open).toContain('open: the limits were not measured');
  });

  it('takes a new section above the old ones, and one of the same heading in its place', () => {
    const first = withSection(page, '## 2026-01-03, new, cpu\n\none\n');
    expect(first).toBe(
      `# Benchmarks\n\nAbout.\n\n${marker}\n\n## 2026-01-03, new, cpu\n\none\n\n## 2026-01-02, old, cpu\n\nkept\n`,
    );
    expect(withSection(first, '## 2026-01-03, new, cpu\n\ntwo\n')).toBe(first.replace('one', 'two'));
  });

  it('is refused where it has no place for runs', () => {
    expect(() => withSection('# Benchmarks\n', '## a\n')).toThrow(/must have this line/);
  });
});
