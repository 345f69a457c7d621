/** The engine over a fake native model whose layers have a window of 512, with the pages that the native plan has. */
import { describe, expect, it } from 'vitest';
import { bench, EOS, range, until, VOCAB } from './engine-bench.js';
import { fakeGreedy } from './engine-fake.js';

/** Of one sequence: 17 pages for the window and a step, 20 for four checkpoints (native/model/kv_tables.h). */
const MOST = 17;
const window = { window: 512, pages: MOST + 20, every: 256, checkpoints: 4 };
const options = { kvCapacity: 4096, kvPageSize: 64, window };

const shared = range(1, 1500);

describe('layers with a window', () => {
  it('a shared prefix of 1,500 tokens is found up to a checkpoint, again and again', async () => {
    const made = bench(options, 4096);
    for (const [length, cached] of [
      [100, 0],
      [150, 1280],
      [20, 1280],
      [400, 1280],
      [30, 1280],
    ]) {
      const prompt = [...shared, ...range(length, length)];
      const result = await made.generate(prompt, { maxTokens: 40 });
      expect(result.tokens).toEqual(fakeGreedy(prompt, 40, VOCAB, EOS));
      expect(result.usage.cachedTokens).toBe(cached);
    }
  });

  it('the same of one that is not over yet, and of requests that come together', async () => {
    const made = bench({ ...options, stepMs: 1, window: { ...window, pages: 3 * window.pages } }, 4096);
    const first = made.generate([...shared, 5, 6], { maxTokens: 200 });
    for await (const _ of first) break;
    const longer = made.generate([...shared, 5, 6, 7], { maxTokens: 300 });
    for await (const _ of longer) {
      const others = await Promise.all(
        [8, 9].map((token) => made.generate([...shared, token], { maxTokens: 20 })),
      );
      others.forEach(({ tokens, usage }, i) => {
        expect(usage.cachedTokens).toBeGreaterThanOrEqual(1280);
        expect(tokens).toEqual(fakeGreedy([...shared, 8 + i], 20, VOCAB, EOS));
      });
      break;
    }
  });

  it('what ends can be gone on from at its end: a conversation', async () => {
    const made = bench(options, 4096);
    const owner = {};
    let prompt = range(3, 700);
    for (let turn = 0; turn < 5; turn++) {
      const { tokens, usage } = await made.generate(prompt, { maxTokens: 150, owner });
      expect(tokens).toEqual(fakeGreedy(prompt, 150, VOCAB, EOS));
      // All but the last token of the answer, which was never computed.
      expect(usage.cachedTokens).toBe(turn === 0 ? 0 : prompt.length - 31);
      prompt = [...prompt, ...tokens, ...range(turn, 30)];
    }
  });

  it('holds the pages of a window and a step, whatever the length, and checkpoints within their bound', async () => {
    const made = bench(options, 4096);
    const { native } = made;
    const run = made.generate(range(2, 1000), { maxTokens: 1200 });
    let most = 0;
    for await (const _ of run) {
      most = Math.max(most, native.windowPages);
      expect(native.liveSequences).toBeLessThanOrEqual(1 + window.checkpoints);
    }
    // The chain of checkpoints at 256, 512 and 768 begins with 4 pages.
    expect(most).toBeGreaterThan(9);
    expect(most).toBeLessThanOrEqual(window.pages);
    const other = await bench(options, 4096).generate(range(2, 1000), { maxTokens: 1200, reuse: false });
    expect(other.tokens).toEqual((await run).tokens);
  });

  it('without reuse a sequence holds its window alone', async () => {
    const made = bench(options, 4096);
    let most = 0;
    const run = made.generate(range(2, 1000), { maxTokens: 1200, reuse: false });
    for await (const _ of run) {
      most = Math.max(most, made.native.windowPages);
      expect(made.native.liveSequences).toBeLessThanOrEqual(1);
    }
    expect(most).toBeLessThanOrEqual(MOST);
    await until(() => made.native.windowPages === 0);
  });

  it('checkpoints give way to requests, and to newer ones', async () => {
    const made = bench(options, 4096);
    await made.generate(shared, { maxTokens: 2 });
    const kept = made.native.liveSequences;
    expect(kept).toBeGreaterThan(window.checkpoints);
    // Two that need all pages of the window's table, together.
    const crowd = await Promise.all(
      [11, 12].map((from) => made.generate(range(from, 1400), { maxTokens: 3 })),
    );
    crowd.forEach(({ tokens }, i) => {
      expect(tokens).toEqual(fakeGreedy(range(11 + i, 1400), 3, VOCAB, EOS));
    });
    expect(made.native.windowPages).toBeLessThanOrEqual(window.pages);
    expect((await made.generate(shared, { maxTokens: 2 })).usage.cachedTokens).toBe(0);
  });

  it('an abort in a prompt and a step that fails leave pages and prefixes in order', async () => {
    const made = bench({ ...options, stepMs: 2 }, 4096);
    const aborted = made.start([...shared, 1], { maxTokens: 10 });
    await until(() => aborted.request.branch.computed > 600);
    made.engine.cancel(aborted.request);
    const broken = made.start([...shared, 2], { maxTokens: 500 });
    await until(() => broken.request.branch.computed > 700);
    made.native.failure = new Error('the step broke');
    await expect(broken.run).rejects.toMatchObject({ code: 'INTERNAL' });
    const result = await made.generate([...shared, 3], { maxTokens: 30 });
    expect(result.tokens).toEqual(fakeGreedy([...shared, 3], 30, VOCAB, EOS));
    expect(result.usage.cachedTokens).toBeGreaterThanOrEqual(512);
    const again = await made.generate([...shared, 4], { maxTokens: 30 });
    expect(again.usage.cachedTokens).toBeGreaterThanOrEqual(1280);
  });

  it('more branches than windows is CONTEXT_OVERFLOW with counts of positions', () => {
    const made = bench({ ...options, window: { ...window, pages: 10 } }, 4096);
    expect(() => made.generate(range(1, 900), { maxTokens: 60 })).toThrow(
      expect.objectContaining({ code: 'CONTEXT_OVERFLOW' }),
    );
  });
});
