/** How `compare` spends its time on speed, with generations that only tell how long they would have taken. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { measureLatency, type Series } from '../../lib/compare/latency.js';
import {
  describeRun,
  describeSpeedup,
  isMeasured,
  largestSpread,
  unmetAim,
} from '../../lib/compare/latency-report.js';
import type { ModelPair, Side } from '../../lib/compare/model-pair.js';
import type { CacheUse } from '../../lib/engine/request.js';
import { Random } from '../../lib/generation/random.js';
import * as model from '../../lib/model.js';

vi.mock('../../lib/model.js', { spy: true });
afterEach(() => {
  vi.restoreAllMocks();
});

interface Call {
  side: Side;
  length: number;
  prompt: string;
  tokens: number;
  cache: CacheUse;
}

interface Machine {
  /** How many times as long b takes. */
  factor: number;
  seed: number;
  /** Standard deviation of the logarithm of a time. */
  noise?: number;
}

/**
 * A machine whose clock is that of its generations: 1 ms a prompt token and 5 ms a decoded one, 2 % slower with every
 * fifty generations, with 1 % of noise, and stumbling now and then.
 */
function simulate({ factor, seed, noise = 0.01 }: Machine): Call[] {
  const random = new Random(seed);
  const calls: Call[] = [];
  let clock = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
  vi.mocked(model.startGeneration).mockImplementation(((
    { side }: { side: Side },
    prompt: Int32Array,
    { maxTokens }: { maxTokens: number },
    { cache }: { cache: CacheUse },
  ) => {
    calls.push({ side, length: prompt.length, prompt: prompt.join(), tokens: maxTokens, cache });
    const slow = (1 + calls.length / 2500) * (random.uniform() < 0.05 ? 1.3 : 1) * Math.exp(noise * normal());
    const time = slow * (side === 'b' ? factor : 1);
    const computed = cache.reuse && !cache.fresh ? 1 : prompt.length;
    clock += time * (computed + 5 * maxTokens);
    const timings = {
      ttftMs: computed * time,
      prefillTokensPerSecond: 1000 / time,
      decodeTokensPerSecond: 200 / time,
    };
    return Promise.resolve({ timings });
  }) as never);
  return calls;
}

const pairOf = (bothFit: boolean) =>
  ({
    bothFit,
    use: async (side: Side) => ({ side, info: { vocabSize: 1000 } }),
  }) as unknown as ModelPair;

interface Course {
  bothFit?: boolean;
  seconds?: number;
  promptLengths?: number[];
  onProgress?: (done: number, secondsLeft: number) => void;
  signal?: AbortSignal;
}

async function measure({ bothFit = true, onProgress = () => {}, ...given }: Course = {}): Promise<Series[]> {
  const into: Series[] = [];
  const plan = {
    promptLengths: [16, 64],
    decodeTokens: 32,
    seconds: 10,
    signal: new AbortController().signal,
    onProgress,
    ...given,
  };
  await measureLatency(pairOf(bothFit), plan, into);
  return into;
}

const isPrefill = ({ cache }: Call) => cache.fresh === true;
const isSlice = ({ cache }: Call) => cache.reuse && !cache.fresh;

/** Calls of a kind in groups of four. */
function quadsOf(calls: readonly Call[]): Call[][] {
  return Array.from({ length: calls.length / 4 }, (_, i) => calls.slice(4 * i, 4 * i + 4));
}

describe('measuring speed', () => {
  it('warms up, then takes turns, with the same prompt for both', async () => {
    const calls = simulate({ factor: 1, seed: 1, noise: 0.1 });
    const series = await measure();
    const warmUp = calls.slice(0, 12);
    expect(warmUp.map(({ side, length }) => [side, length])).toEqual(
      [16, 64].flatMap((length) =>
        ['a', 'b'].flatMap((side) => [
          [side, 1],
          [side, length],
          [side, length],
        ]),
      ),
    );
    const measured = calls.slice(12);
    const orders = new Set<string>();
    for (const quads of [quadsOf(measured.filter(isPrefill)), quadsOf(measured.filter(isSlice))]) {
      expect(quads.length).toBeGreaterThan(10);
      for (const quad of quads) {
        orders.add(quad.map(({ side }) => side).join(''));
        expect(new Set(quad.map(({ prompt, tokens }) => `${prompt} ${tokens}`)).size).toBe(1);
      }
    }
    expect([...orders].sort()).toEqual(['abba', 'baab']);
    const samples = series.flatMap(({ prefill, decode }) => [...prefill, ...decode]);
    expect(samples.every(({ a, b }) => a.length === 2 && b.length === 2)).toBe(true);
    expect(4 * samples.length).toBe(measured.filter((call) => isPrefill(call) || isSlice(call)).length);
  });

  it('decodes in slices of about 40 ms of the faster side, each behind a prompt that is there', async () => {
    const calls = simulate({ factor: 2, seed: 1 });
    await measure();
    const measured = calls.slice(12);
    // 5 ms a token; the first one, which is not timed, comes with the step before.
    for (const { tokens } of measured.filter(isSlice)) expect([8 + 1, 9 + 1]).toContain(tokens);
    for (const [i, call] of measured.entries()) {
      if (!isPrefill(call)) continue;
      // The step that brings the side's own weights into the caches.
      expect(measured[i - 1]).toMatchObject({
        side: call.side,
        length: 1,
        tokens: 1,
        cache: { reuse: false },
      });
    }
  });

  it('spends its time on the lengths that stand for all, then on the others alike', async () => {
    const lengths = [16, 128, 512, 1024];
    const spentOn = (calls: readonly Call[]) => {
      const sum = (some: Call[]) =>
        some.reduce((all, call) => all + (isPrefill(call) ? call.length : 1) + 5 * call.tokens, 0);
      return lengths.map((length) => {
        const own = calls.filter((call) => call.length === length);
        return { prefill: sum(own.filter(isPrefill)), decode: sum(own.filter(isSlice)) };
      });
    };
    const shaken = simulate({ factor: 1, seed: 3, noise: 0.3 });
    await measure({ promptLengths: lengths, seconds: 60 });
    const [shortest, other, headline, longest] = spentOn(shaken);
    // 60 s, of which three quads of the longest prompts take 13.
    expect(headline!.prefill).toBeGreaterThan(12_000);
    expect(shortest!.decode).toBeGreaterThan(12_000);
    for (const { prefill, decode } of [other!, longest!]) expect(prefill + decode).toBeLessThan(20_000);
    expect(other!.prefill + other!.decode).toBeLessThan(8000);

    const steady = simulate({ factor: 1, seed: 3, noise: 0.04 });
    const few = await measure({ promptLengths: lengths, seconds: 200 });
    const narrow = few.map(describeSpeedup).find(({ promptTokens }) => promptTokens === 512)!;
    expect(narrow.prefill.endedBy).toBe('aim');
    const [one, two] = [spentOn(steady)[1]!, spentOn(steady)[3]!];
    expect(two.decode).toBeGreaterThan(0.4 * one.decode);
    expect(two.decode).toBeLessThan(2.5 * one.decode);
  });

  it('ends when the intervals are narrow, or else when the time is up, and says which', async () => {
    simulate({ factor: 1.5, seed: 2 });
    const still = await measure({ seconds: 1000 });
    const quiet = performance.now();
    for (const { prefill, decode } of still.map(describeSpeedup)) {
      for (const { ratio, low, high, quads, endedBy } of [prefill, decode]) {
        expect(endedBy).toBe('aim');
        expect(high / ratio).toBeLessThan(1.0205);
        expect(ratio / low).toBeLessThan(1.0205);
        expect(quads).toBeGreaterThanOrEqual(6);
      }
    }
    expect(quiet).toBeLessThan(30_000);
    expect(unmetAim(still.map(describeSpeedup))).toBeUndefined();

    simulate({ factor: 1.5, seed: 2, noise: 0.5 });
    const shaken = (await measure({ seconds: 20 })).map(describeSpeedup);
    const spent = performance.now();
    expect(spent).toBeGreaterThan(20_000);
    expect(spent).toBeLessThan(25_000);
    for (const { prefill, decode } of shaken)
      expect([prefill.endedBy, decode.endedBy]).toEqual(['limit', 'limit']);
    expect(unmetAim(shaken)).toMatch(
      /wider than 2 % .*: prefill at 16, decode at 16, prefill at 64, decode at 64\./,
    );
  });

  it('takes a few quads of everything, however little time there is', async () => {
    simulate({ factor: 1, seed: 1 });
    const progress: number[] = [];
    const series = await measure({ seconds: 0, onProgress: (_, left) => progress.push(left) });
    for (const { prefill, decode } of series) {
      expect(prefill.length).toBeGreaterThanOrEqual(3);
      expect(decode.length).toBeGreaterThanOrEqual(6);
    }
    expect(progress.at(-1)).toBe(0);
    expect(Math.max(...progress.slice(2))).toBeGreaterThan(0);
  });

  it('measures one after the other where only one fits', async () => {
    const calls = simulate({ factor: 2, seed: 1 });
    const series = await measure({ bothFit: false });
    expect(calls.map(({ side }) => side).join('')).toMatch(/^(a+)(b+)$/);
    for (const one of series) {
      expect([one.prefill.length, one.decode.length]).toEqual([3, 6]);
      expect(describeSpeedup(one).prefill.ratio).toBeCloseTo(0.5, 1);
      expect(describeSpeedup(one).decode.ratio).toBeCloseTo(0.5, 1);
    }
  });

  it('finds no difference between equal modes, and one of a tenth', async () => {
    let [wrong, wide, missed] = [0, 0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      simulate({ factor: 1, seed });
      for (const series of await measure({ seconds: 30 })) {
        const { prefill, decode } = describeSpeedup(series);
        for (const { low, high, significant } of [prefill, decode]) {
          if (significant) wrong++;
          if (low < 0.95 || high > 1.05) wide++;
        }
      }
      simulate({ factor: 1.1, seed });
      for (const series of await measure({ seconds: 30 })) {
        const { ttft, prefill, decode } = describeSpeedup(series);
        for (const { ratio, significant } of [ttft, prefill, decode]) {
          if (!significant) missed++;
          expect(ratio).toBeCloseTo(1 / 1.1, 1);
        }
      }
    }
    // Of 80 intervals that hold the truth 95 times in 100, more than 9 miss it once in 200 times.
    expect(wrong).toBeLessThanOrEqual(9);
    expect({ wide, missed }).toEqual({ wide: 0, missed: 0 });
  });

  it('describes a mode by medians and tails, and the machine by its spread', async () => {
    simulate({ factor: 1.5, seed: 4 });
    const [first] = await measure();
    const run = describeRun(first!, 'b', 'int8');
    expect(run).toMatchObject({ mode: 'int8', promptTokens: 16, depth: 16 });
    expect(run.ttftMs).toBeCloseTo(16 * 1.5, -1);
    expect(run.p95.ttftMs).toBeGreaterThan(run.ttftMs);
    expect(run.p95.prefill).toBeLessThan(run.prefill);
    expect(run.p95.decode).toBeLessThan(run.decode);
    expect(largestSpread([first!])).toBeLessThan(0.1);
    expect(largestSpread([])).toBe(0);
    const sample = (time: number) => ({ ttft: time, prefill: 1 / time });
    const steady = { a: [sample(1), sample(1)], b: [sample(1), sample(1)] };
    const shaken = { a: [sample(1), sample(3)], b: [sample(1), sample(1)] };
    const decode = [{ a: [1, 1], b: [1, 1] }];
    expect(largestSpread([{ promptTokens: 16, prefill: [steady, shaken], decode }])).toBeGreaterThan(0.1);
  });

  it('keeps what it has when it is interrupted', async () => {
    const calls = simulate({ factor: 1, seed: 1 });
    const stop = new AbortController();
    const into: Series[] = [];
    const plan = {
      promptLengths: [16, 64],
      decodeTokens: 32,
      seconds: 10,
      signal: stop.signal,
      onProgress: () => {
        if (into.some(({ decode }) => decode.length === 2)) stop.abort(new Error('enough'));
      },
    };
    await expect(measureLatency(pairOf(true), plan, into)).rejects.toThrow('enough');
    expect(into.map((one) => [one.promptTokens, isMeasured(one)])).toEqual([
      [16, true],
      [64, false],
    ]);
    expect(into[0]!.decode).toHaveLength(2);
    const { length } = calls;
    await Promise.resolve();
    expect(calls).toHaveLength(length);
  });
});
