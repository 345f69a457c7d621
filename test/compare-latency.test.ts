/** How `compare` takes its samples, with generations that only tell how long they would have taken. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  describeRun,
  describeSpeedup,
  largestSpread,
  measureLatency,
  type Series,
} from '../lib/compare/latency.js';
import type { ModelPair, Side } from '../lib/compare/model-pair.js';
import { Random } from '../lib/generation/random.js';
import * as model from '../lib/model.js';

vi.mock('../lib/model.js', { spy: true });
afterEach(() => {
  vi.resetAllMocks();
});

interface Call {
  side: Side;
  length: number;
  prompt: string;
}

/** A machine that gets 2 % slower with every fifty generations, has 1 % of noise, and stumbles now and then. */
function simulate(factor: number, seed: number): Call[] {
  const random = new Random(seed);
  const calls: Call[] = [];
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
  vi.mocked(model.startGeneration).mockImplementation(((which: { side: Side }, prompt: Int32Array) => {
    calls.push({ side: which.side, length: prompt.length, prompt: prompt.join() });
    const slow = (1 + calls.length / 2500) * (random.uniform() < 0.05 ? 1.3 : 1) * Math.exp(0.01 * normal());
    const time = slow * (which.side === 'b' ? factor : 1);
    const timings = {
      ttftMs: prompt.length * time,
      prefillTokensPerSecond: 1000 / time,
      decodeTokensPerSecond: 100 / time,
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

async function measure(bothFit = true, signal = new AbortController().signal): Promise<Series[]> {
  const into: Series[] = [];
  const plan = { promptLengths: [16, 64], decodeTokens: 8, seconds: 10, signal, onProgress: () => {} };
  await measureLatency(pairOf(bothFit), plan, into);
  return into;
}

describe('measuring speed', () => {
  it('warms up, then takes turns, with the same prompt for both', async () => {
    const calls = simulate(1, 1);
    const series = await measure();
    expect(series.map(({ promptTokens, blocks }) => [promptTokens, blocks.length])).toEqual([
      [16, 12],
      [64, 12],
    ]);
    expect(calls.slice(0, 4).map(({ side, length }) => [side, length])).toEqual([
      ['a', 16],
      ['b', 16],
      ['a', 64],
      ['b', 64],
    ]);
    const blocks = Array.from({ length: 24 }, (_, i) => calls.slice(4 + 4 * i, 8 + 4 * i));
    for (const [i, block] of blocks.entries()) {
      const round = Math.floor(i / 2);
      expect(block.map(({ side }) => side).join('')).toBe(round % 2 === 0 ? 'abba' : 'baab');
      expect(new Set(block.map(({ prompt }) => prompt)).size).toBe(1);
      expect(block[0]!.length).toBe(i % 2 === 0 ? 16 : 64);
    }
    expect(new Set(blocks.map(([call]) => call!.prompt)).size).toBe(24);
  });

  it('measures one after the other where only one fits', async () => {
    const calls = simulate(2, 1);
    const series = await measure(false);
    expect(calls.map(({ side }) => side).join('')).toBe(`${'a'.repeat(14)}${'b'.repeat(14)}`);
    for (const one of series) {
      expect(one.blocks).toHaveLength(3);
      expect(describeSpeedup(one).prefill.ratio).toBeCloseTo(0.5, 1);
    }
  });

  it('finds no difference between equal modes, and one of a tenth', async () => {
    let [wrong, wide, missed] = [0, 0, 0];
    for (let seed = 1; seed <= 10; seed++) {
      simulate(1, seed);
      for (const series of await measure()) {
        const { low, high, significant } = describeSpeedup(series).decode;
        if (significant) wrong++;
        if (low < 0.95 || high > 1.05) wide++;
      }
      simulate(1.1, seed);
      for (const series of await measure()) {
        const { ttft, prefill, decode } = describeSpeedup(series);
        for (const { ratio, significant } of [ttft, prefill, decode]) {
          if (!significant) missed++;
          expect(ratio).toBeCloseTo(1 / 1.1, 1);
        }
      }
    }
    expect({ wrong, wide, missed }).toEqual({ wrong: 0, wide: 0, missed: 0 });
  });

  it('describes a mode by medians and tails, and the machine by its spread', async () => {
    simulate(1.5, 4);
    const [first] = await measure();
    const run = describeRun(first!, 'b', 'int8');
    expect(run).toMatchObject({ mode: 'int8', promptTokens: 16, depth: 16 });
    expect(run.ttftMs).toBeCloseTo(16 * 1.5, -1);
    expect(run.p95.ttftMs).toBeGreaterThan(run.ttftMs);
    expect(run.p95.prefill).toBeLessThan(run.prefill);
    expect(largestSpread([first!])).toBeLessThan(0.1);
    expect(largestSpread([])).toBe(0);
    const steady = { a: [sample(1), sample(1)], b: [sample(1), sample(1)] };
    const shaken = { a: [sample(1), sample(3)], b: [sample(1), sample(1)] };
    expect(largestSpread([{ promptTokens: 16, blocks: [steady, shaken] }])).toBeGreaterThan(0.1);
  });

  it('keeps what it has when it is interrupted', async () => {
    const calls = simulate(1, 1);
    const stop = new AbortController();
    const into: Series[] = [];
    const plan = {
      promptLengths: [16, 64],
      decodeTokens: 8,
      seconds: 10,
      signal: stop.signal,
      onProgress: () => {
        if (calls.length >= 30) stop.abort(new Error('enough'));
      },
    };
    await expect(measureLatency(pairOf(true), plan, into)).rejects.toThrow('enough');
    expect(into.map(({ blocks }) => blocks.length)).toEqual([4, 3]);
  });
});

function sample(time: number) {
  return { ttft: time, prefill: 1 / time, decode: 1 / time };
}
