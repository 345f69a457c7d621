/** The engine over the fake native model: pages, prefixes, back-pressure, and what happens when a step fails. */
import { describe, expect, it } from 'vitest';
import { MAX_QUEUED } from '../../lib/engine/engine.js';
import { bench, bound, EOS, range, turns, until, VOCAB } from './engine-bench.js';
import { fakeGreedy } from './engine-fake.js';

describe('admission', () => {
  it('requests that do not fit together run one after the other, first come first served', async () => {
    const { native, generate } = bound(bench({ kvCapacity: 96 }, 96));
    const order: number[] = [];
    const results = await Promise.all(
      [1, 2, 3, 4].map(async (first) => {
        const result = await generate(range(first, 10), { maxTokens: 60 });
        order.push(first);
        return result;
      }),
    );
    results.forEach((result, i) => {
      expect(result.tokens).toEqual(fakeGreedy(range(i + 1, 10), 60, VOCAB, EOS));
    });
    expect(order).toEqual([1, 2, 3, 4]);
    expect(native.steps.every((step) => step.sequences.length === 1)).toBe(true);
  });

  it('many requests of all sizes on few pages never run out of them', async () => {
    const { native, generate } = bound(bench({ kvCapacity: 256 }, 200));
    const sizes = range(3, 40).map((n) => ({
      prompt: range(n, 1 + (n % 90)),
      maxTokens: 1 + ((n * 13) % 70),
    }));
    // Prompts in pairs share a beginning, so forks and copies on write are in play.
    const results = await Promise.all(
      sizes.map(({ prompt, maxTokens }) => generate([7, 7, 7, 7, 7, 7, ...prompt], { maxTokens })),
    );
    results.forEach((result, i) => {
      const { prompt, maxTokens } = sizes[i];
      expect(result.tokens).toEqual(fakeGreedy([7, 7, 7, 7, 7, 7, ...prompt], maxTokens, VOCAB, EOS));
    });
    expect(native.steps.some((step) => step.sequences.length > 2)).toBe(true);
  });

  it('one request more than may wait is BUSY, and those that wait go on', async () => {
    const made = bench({ kvCapacity: 64 }, 64);
    const waiting = Array.from({ length: MAX_QUEUED }, () => made.generate([1, 2], { maxTokens: 1 }));
    expect(() => made.generate([1, 2], { maxTokens: 1 })).toThrow(
      expect.objectContaining({ code: 'BUSY', details: { limit: MAX_QUEUED } }),
    );
    expect((await waiting[0]).tokens).toHaveLength(1);
    await made.engine.dispose();
    await expect(waiting.at(-1)).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  it('a request that can never fit is CONTEXT_OVERFLOW with counts', () => {
    const made = bench({ kvCapacity: 64 }, 200);
    expect(() => made.generate(range(1, 40), { maxTokens: 60 })).toThrow(
      expect.objectContaining({ code: 'CONTEXT_OVERFLOW', details: { tokens: 99, limit: 64 } }),
    );
  });
});

describe('prefix reuse', () => {
  it('gives the same tokens as without, and computes only the rest', async () => {
    const { native, generate } = bound(bench());
    const prompt = range(1, 100);
    const cold = await generate(prompt, { maxTokens: 10, reuse: false });
    const again = await generate(prompt, { maxTokens: 10 });
    expect(again.usage.cachedTokens).toBe(0);
    const before = native.steps.length;
    const warm = await generate(prompt, { maxTokens: 10 });
    expect(warm.tokens).toEqual(cold.tokens);
    expect(warm.usage.cachedTokens).toBe(99);
    expect(native.steps[before].counts).toEqual([1]);
    const longer = await generate([...prompt, ...warm.tokens, 5, 6], { maxTokens: 10 });
    expect(longer.usage.cachedTokens).toBe(109);
    expect(longer.tokens).toEqual(fakeGreedy([...prompt, ...warm.tokens, 5, 6], 10, VOCAB, EOS));
    const branch = [...prompt.slice(0, 37), 5, 6, 7];
    const branched = await generate(branch, { maxTokens: 10 });
    expect(branched.usage.cachedTokens).toBe(37);
    expect(branched.tokens).toEqual(fakeGreedy(branch, 10, VOCAB, EOS));
  });

  it('starts from what a running request has computed', async () => {
    const { generate } = bound(bench({ stepMs: 1 }));
    const prompt = range(1, 50);
    const running = generate(prompt, { maxTokens: 60 });
    for await (const _ of running) break;
    const first = generate(prompt, { maxTokens: 60 });
    for await (const _ of first) {
      const second = await generate(prompt, { maxTokens: 5 });
      expect(second.usage.cachedTokens).toBe(49);
      expect(second.tokens).toEqual(fakeGreedy(prompt, 5, VOCAB, EOS));
      break;
    }
  });

  it('keeps at most one context of tokens, and gives way to requests', async () => {
    const { native, generate } = bound(bench({ kvCapacity: 512 }, 128));
    for (const first of [1, 2, 3, 4, 5]) await generate(range(first, 50), { maxTokens: 4 });
    await until(() => native.liveSequences === 2);
    const crowd = await Promise.all(
      [6, 7, 8, 9].map((first) => generate(range(first, 100), { maxTokens: 29 })),
    );
    expect(crowd.every((result) => result.tokens.length === 29)).toBe(true);
  });

  it('a request that needs the pages of its own prefix takes them over', async () => {
    const made = bench({ kvCapacity: 128 }, 128);
    const prompt = range(1, 70);
    await made.generate(prompt, { maxTokens: 20 });
    const longer = await made.generate([...prompt, 9, 9], { maxTokens: 57 });
    expect(longer.usage.cachedTokens).toBe(70);
    expect(longer.tokens).toEqual(fakeGreedy([...prompt, 9, 9], 57, VOCAB, EOS));
    // The same while a neighbour shares its pages.
    const crowded = bench({ kvCapacity: 192, stepMs: 1 }, 192);
    await crowded.generate(prompt, { maxTokens: 20 });
    const neighbour = crowded.generate([...prompt, 5], { maxTokens: 30 });
    for await (const _ of neighbour) break;
    const beside = crowded.generate([...prompt, 5], { maxTokens: 30 });
    const wide = await crowded.generate([...prompt, 9, 9], { maxTokens: 100 });
    expect(wide.tokens).toEqual(fakeGreedy([...prompt, 9, 9], 100, VOCAB, EOS));
    expect((await beside).tokens).toEqual(fakeGreedy([...prompt, 5], 30, VOCAB, EOS));
  });

  it("an owner's sequence stays while others come and go, until disowned", async () => {
    const made = bench({ kvCapacity: 1024 }, 128);
    const owner = {};
    const prompt = range(1, 60);
    await made.generate(prompt, { maxTokens: 4, owner });
    for (const first of [2, 3, 4, 5, 6]) await made.generate(range(first, 60), { maxTokens: 4 });
    expect((await made.generate(prompt, { maxTokens: 4, owner })).usage.cachedTokens).toBe(59);
    made.engine.disown(owner);
    for (const first of [2, 3, 4, 5, 6]) await made.generate(range(first, 60), { maxTokens: 4 });
    expect((await made.generate(prompt, { maxTokens: 4 })).usage.cachedTokens).toBe(0);
  });

  it('switched off it neither finds nor keeps anything', async () => {
    const { native, generate } = bound(bench());
    await generate(range(1, 50), { maxTokens: 4 });
    const live = native.liveSequences;
    const result = await generate(range(1, 50), { maxTokens: 4, reuse: false });
    expect(result.usage.cachedTokens).toBe(0);
    await until(() => native.liveSequences === live);
  });
});

describe('back-pressure', () => {
  it('output that nobody reads stops the work at a bound, and reading resumes it', async () => {
    const made = bench();
    const { run, request } = made.start([1, 2, 3], { maxTokens: 2400 });
    await until(() => request.branch.length >= 1024);
    // A step of the fake takes a turn.
    await turns(200);
    expect(request.branch.length).toBeLessThan(1100);
    const steps = made.native.steps.length;
    await turns(200);
    expect(made.native.steps.length).toBe(steps);
    const tokens: number[] = [];
    for await (const chunk of run) tokens.push(...chunk.tokens);
    expect(tokens).toHaveLength(2400);
    expect(tokens).toEqual((await run).tokens);
  });

  it('awaiting lets it run to the end, and the chunks are still there', async () => {
    const run = bench().generate([1, 2, 3], { maxTokens: 2000 });
    const result = await run;
    expect(result.tokens).toHaveLength(2000);
    let text = '';
    for await (const chunk of run) text += chunk.text;
    expect(text).toBe(result.text);
  });

  it('an unread request gives its pages to those who wait, and goes on later as if nothing happened', async () => {
    const made = bench({ kvCapacity: 1600 }, 1600);
    const unread = made.start([1, 2, 3], { maxTokens: 1500, temperature: 1, seed: 4 });
    await until(() => unread.run.full);
    const other = await made.generate([4, 5, 6], { maxTokens: 1200 });
    expect(other.tokens).toHaveLength(1200);
    expect(unread.request.branch.sequence).toBeUndefined();
    const result = await unread.run;
    const calm = await bench().generate([1, 2, 3], { maxTokens: 1500, temperature: 1, seed: 4 });
    expect(result.tokens).toEqual(calm.tokens);
  });
});

describe('failure and dispose', () => {
  it('a failing step ends its requests with the error; the engine goes on', async () => {
    const made = bench({ stepMs: 2 });
    const waiting = [made.generate([1, 2, 3]), made.generate([4, 5, 6])];
    await until(() => made.native.steps.length > 2);
    const failure = new Error('the step broke');
    made.native.failure = failure;
    await expect(waiting[0]).rejects.toMatchObject({ code: 'INTERNAL', cause: failure });
    await expect(waiting[1][Symbol.asyncIterator]().next()).resolves.toMatchObject({ done: false });
    await expect(waiting[1][Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'INTERNAL',
      cause: failure,
    });
    await expect(waiting[1]).rejects.toMatchObject({ code: 'INTERNAL', cause: failure });
    expect((await made.generate([1, 2, 3], { maxTokens: 5 })).tokens).toEqual(
      fakeGreedy([1, 2, 3], 5, VOCAB, EOS),
    );
    await until(() => made.native.liveSequences === 1);
  });

  it('dispose ends what runs and what queues, waits for the step, and twice is fine', async () => {
    const made = bench({ stepMs: 30, kvCapacity: 64 }, 64);
    const running = made.generate([1, 2, 3], { maxTokens: 60 });
    const queued = made.generate([4, 5, 6], { maxTokens: 60 });
    await until(() => made.native.steps.length > 1);
    const disposing = made.engine.dispose();
    expect(made.engine.dispose()).toBe(disposing);
    await disposing;
    expect(made.native.disposed).toBe(true);
    for (const run of [running, queued]) await expect(run).rejects.toMatchObject({ code: 'DISPOSED' });
    expect(() => made.generate([1])).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
  });
});
