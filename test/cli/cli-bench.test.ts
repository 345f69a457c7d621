import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { cacheFor } from '../../lib/cli/bench.js';
import { type BenchWork, measure } from '../../lib/cli/bench-measure.js';
import { Interrupts } from '../../lib/cli/interrupt.js';
import type { Inspection } from '../../lib/cli/inspect.js';
import { Model, startGeneration } from '../../lib/model.js';

vi.mock('../../lib/model.js', async (load) => {
  const original = await load<typeof import('../../lib/model.js')>();
  return { ...original, startGeneration: vi.fn(original.startGeneration) };
});

const work: BenchWork = { prefillTokens: 48, decodeTokens: 9, promptTokens: 30, batch: 3, repetitions: 2 };

describe('what bench measures', () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load('stories-260k', { contextLength: 64, kvCapacity: 256 });
  });
  afterAll(() => model.dispose());

  it('is the public engine with sampling, on different seeded prompts, without end and without reuse', async () => {
    const start = vi.mocked(startGeneration);
    const prompts: string[][] = [];
    for (let time = 0; time < 2; time++) {
      start.mockClear();
      const progress: number[] = [];
      const measured = await measure(model, work, new AbortController().signal, (done) =>
        progress.push(done),
      );
      expect([measured.prefill.length, measured.decode.length]).toEqual([2, 2]);
      expect(progress).toEqual([0, 1, 2, 3, 4, 5]);
      const calls = start.mock.calls;
      // Two repetitions and one to warm up, prefill and decode in turns.
      expect(calls.map(([, prompt, { maxTokens }]) => [prompt.length, maxTokens])).toEqual(
        [0, 1, 2].flatMap(() => [...[0, 1, 2].map(() => [48, 1]), ...[0, 1, 2].map(() => [30, 10])]),
      );
      for (const [, , options, internals] of calls) {
        expect(options).toMatchObject({ ignoreEos: true, temperature: 0.8, topK: 40, topP: 0.95 });
        expect(internals.cache).toEqual({ reuse: false });
      }
      const results = await Promise.all(start.mock.results.map(({ value }) => value));
      expect(results.every(({ usage }) => usage.cachedTokens === 0)).toBe(true);
      prompts.push(calls.map(([, prompt]) => prompt.toString()));
    }
    expect(prompts[0]).toEqual(prompts[1]);
    expect(new Set(prompts[0]).size).toBe(18);
  });

  it('ends with the reason of its signal', async () => {
    const stop = new AbortController();
    const progress = (done: number) => {
      if (done === 3) stop.abort(new Error('enough'));
    };
    await expect(measure(model, work, stop.signal, progress)).rejects.toThrow('enough');
  });
});

describe('the cache of bench', () => {
  const inspection = { description: { spec: { maxPositions: 512 } } } as Inspection;

  it('has room for whole sequences of the whole batch', () => {
    expect(cacheFor(work, inspection)).toEqual({ contextLength: 48, kvCapacity: 3 * 256 });
    const deep = { ...work, promptTokens: 500, decodeTokens: 12, batch: 1 };
    expect(cacheFor(deep, inspection)).toEqual({ contextLength: 512, kvCapacity: 512 });
    expect(() => cacheFor({ ...deep, decodeTokens: 13 }, inspection)).toThrow(
      /needs 513 positions.* has 512/,
    );
  });
});

describe('Ctrl-C', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('asks to stop once, then ends the process', () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation((() => {}) as never);
    const interrupts = new Interrupts();
    interrupts.raise('SIGINT');
    expect(interrupts.signal.aborted).toBe(true);
    expect(interrupts.status).toBe(130);
    expect(exit).not.toHaveBeenCalled();
    interrupts.raise('SIGINT');
    expect(exit).toHaveBeenCalledWith(130);
  });

  it('goes to a handler first, while there is one', () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation((() => {}) as never);
    const interrupts = new Interrupts();
    const handler = vi.fn();
    interrupts.handle(handler).done();
    const watch = interrupts.handle(handler);
    interrupts.raise('SIGINT');
    expect(handler).toHaveBeenCalledTimes(1);
    expect(interrupts.signal.aborted).toBe(false);
    interrupts.raise('SIGINT');
    expect(handler).toHaveBeenCalledTimes(1);
    expect(exit).toHaveBeenCalledWith(130);
    watch.done();
    interrupts.raise('SIGINT');
    expect(interrupts.signal.aborted).toBe(true);
  });
});
