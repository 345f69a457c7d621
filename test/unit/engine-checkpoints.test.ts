/** The engine over a fake native model with states: what is kept of prompts, found again, and how many states that takes. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../lib/generation/random.js';
import { type Bench, bench, EOS, range, until, VOCAB } from './engine-bench.js';
import { fakeGreedy } from './engine-fake.js';

const KEPT = 8;
const options = { kvCapacity: 8192, kvPageSize: 64, stateSlots: 8, keptStates: KEPT };
const shared = range(1, 1500);

/** Lengths at which the steps of a lone request ended. */
const endsOf = ({ native }: Bench, from = 0) => {
  let end = from;
  return native.steps.map(({ counts }) => (end += counts[0]!));
};

describe('checkpoints of states', () => {
  it('a shared prefix of 1,500 tokens is found up to the last multiple of 256, again and again', async () => {
    const made = bench(options, 4096);
    for (const [length, cached] of [
      [100, 0],
      [150, 1280],
      [20, 1280],
      [400, 1280],
      [30, 1280],
      [36, 1280],
    ]) {
      const prompt = [...shared, ...range(length!, length!)];
      const result = await made.generate(prompt, { maxTokens: 40 });
      expect(result.tokens).toEqual(fakeGreedy(prompt, 40, VOCAB, EOS));
      expect(result.usage.cachedTokens).toBe(cached);
      expect(made.native.liveSequences).toBeLessThanOrEqual(KEPT);
    }
  });

  it('steps end at the last four multiples of a prompt, and of what is kept alone', async () => {
    const multiples = [256, 512, 768, 1024, 1280];
    const cutsOf = async (given: object, more: object) => {
      const made = bench({ ...options, ...given }, 4096);
      await made.generate(shared, { maxTokens: 3, ...more });
      const ends = endsOf(made);
      expect(ends.at(-1)).toBe(1502);
      return multiples.filter((length) => ends.includes(length));
    };
    expect(await cutsOf({}, {})).toEqual(multiples.slice(1));
    // 32 tokens, since no step was measured; then as many as a step holds, from there.
    expect(await cutsOf({}, { reuse: false })).toEqual([]);
    expect(await cutsOf({ keptStates: 0 }, {})).toEqual([]);
    expect(await cutsOf({ stateSlots: 0 }, {})).toEqual([]);
  });

  it('a conversation goes on at its end, though that is no checkpoint', async () => {
    const made = bench(options, 4096);
    const owner = {};
    let prompt = range(3, 70);
    for (let turn = 0; turn < 5; turn++) {
      const { tokens, usage } = await made.generate(prompt, { maxTokens: 50, owner });
      expect(tokens).toEqual(fakeGreedy(prompt, 50, VOCAB, EOS));
      // All but the last token of the answer, which was never computed.
      expect(usage.cachedTokens).toBe(turn === 0 ? 0 : prompt.length - 31);
      prompt = [...prompt, ...tokens, ...range(turn, 30)];
    }
    // Its end alone: no multiple of 256 was passed within a prompt.
    expect(made.native.liveSequences).toBe(1);
  });

  it('conversations keep their ends before checkpoints do, as many as there are states', async () => {
    const made = bench({ ...options, keptStates: 3 }, 4096);
    const owners = [{}, {}, {}, {}];
    const turns = owners.map((_, i) => range(20 + i, 300));
    for (const [i, owner] of owners.entries()) {
      const { tokens } = await made.generate(turns[i]!, { maxTokens: 5, owner });
      turns[i] = [...turns[i]!, ...tokens, 7];
      expect(made.native.liveSequences).toBeLessThanOrEqual(3);
    }
    await made.generate(range(90, 600), { maxTokens: 5 });
    const found: number[] = [];
    for (const i of [3, 2, 1, 0]) {
      found.push((await made.generate(turns[i]!, { maxTokens: 1, reuse: true })).usage.cachedTokens);
    }
    expect(found.slice(0, 3)).toEqual([304, 304, 304]);
    expect(found[3]).toBe(0);
  });

  it('of one that is not over yet, and of requests that come together', async () => {
    const made = bench({ ...options, stepMs: 1 }, 4096);
    const first = made.generate([...shared, 5, 6], { maxTokens: 200 });
    for await (const _ of first) break;
    const running = made.generate([...shared, 5, 6, 7], { maxTokens: 300 });
    for await (const _ of running) {
      const others = await Promise.all(
        [8, 9].map((token) => made.generate([...shared, token], { maxTokens: 20 })),
      );
      others.forEach(({ tokens, usage }, i) => {
        expect(usage.cachedTokens).toBe(1280);
        expect(tokens).toEqual(fakeGreedy([...shared, 8 + i], 20, VOCAB, EOS));
      });
      break;
    }
  });

  it('an abort in a prompt and a step that fails leave prefixes in order', async () => {
    const made = bench({ ...options, stepMs: 2 }, 4096);
    const aborted = made.start([...shared, 1], { maxTokens: 10 });
    await until(() => aborted.request.branch.computed > 600);
    made.engine.cancel(aborted.request);
    const broken = made.start([...shared, 2], { maxTokens: 500 });
    await until(() => broken.request.branch.computed > 1100);
    made.native.failure = new Error('the step broke');
    await expect(broken.run).rejects.toMatchObject({ code: 'INTERNAL' });
    const result = await made.generate([...shared, 3], { maxTokens: 30 });
    expect(result.tokens).toEqual(fakeGreedy([...shared, 3], 30, VOCAB, EOS));
    expect(result.usage.cachedTokens).toBeGreaterThanOrEqual(1024);
  });

  it('beside windows: pages and states of a checkpoint are kept together', async () => {
    const window = { window: 512, pages: 37, every: 256, checkpoints: 4 };
    const made = bench({ ...options, kvCapacity: 4096, window }, 4096);
    for (const [length, cached] of [
      [100, 0],
      [150, 1280],
      [20, 1280],
    ]) {
      const prompt = [...shared, ...range(length!, length!)];
      const result = await made.generate(prompt, { maxTokens: 40 });
      expect(result.tokens).toEqual(fakeGreedy(prompt, 40, VOCAB, EOS));
      expect(result.usage.cachedTokens).toBe(cached);
    }
  });
});

/** Whatever comes together, ends early, belongs to somebody or is kept: the fake throws where states or pages are short. */
async function crowd(seed: number, keptStates: number): Promise<number> {
  const random = new Random(seed);
  const below = (n: number) => Math.floor(random.uniform() * n);
  // A second table with a window, or of all positions too.
  const size = below(2) === 0 ? 40 : 0;
  const window = { window: size, pages: 75, every: 32, checkpoints: 6 };
  const made = bench(
    { kvCapacity: 1200, kvPageSize: 16, stateSlots: 6, keptStates, window, stepTokens: 64 },
    400,
  );
  const owners = [{}, {}];
  let found = 0;
  const one = async () => {
    const stem = range(below(2), 40 + below(120));
    const prompt = [...stem, ...range(below(290), 1 + below(60))];
    const owner = below(3) === 0 ? owners[below(2)] : undefined;
    const count = 1 + below(40);
    const { run, request } = made.start(prompt, { maxTokens: count, owner, reuse: below(8) > 0 });
    const aborts = below(6) === 0;
    if (aborts) {
      await until(() => request.branch.computed > 20 || request.settled);
      made.engine.cancel(request);
    }
    const { tokens, usage } = await run;
    expect(tokens).toEqual(fakeGreedy(prompt, count, VOCAB, EOS).slice(0, tokens.length));
    if (!aborts) expect(tokens).toHaveLength(count);
    if (usage.cachedTokens > 0) found++;
  };
  for (let turn = 0; turn < 12; turn++) {
    await Promise.all(Array.from({ length: 1 + below(6) }, one));
    // Who aborted leaves with the next turn.
    await until(() => made.native.liveSequences <= keptStates);
  }
  return found;
}

it('crowds never run short of states, and give what they give alone', async () => {
  let found = 0;
  for (const keptStates of [1, 2, 5, 9]) {
    for (let seed = 1; seed <= 4; seed++) found += await crowd(seed, keptStates);
  }
  expect(found).toBeGreaterThan(120);
});
