/** Beam search over the fake native model: what a naive search finds, whatever runs beside it, in no more pages than promised. */
import { describe, expect, it } from 'vitest';
import type { GenerateOptions } from '../../lib/options.js';
import { bench, EOS, range, turns, until, VOCAB } from './engine-bench.js';
import { fakeGreedy, fakeLogits } from './engine-fake.js';

/** Many, so that beams end at any length. */
const ENDS = Array.from({ length: 40 }, (_, i) => 7 * i + 3);

interface Hypothesis {
  tokens: number[];
  score: number;
}

/** All continuations of all beams, sorted: nothing is left out before its time. */
function search(prompt: number[], options: GenerateOptions): (Hypothesis & { finishReason: string })[] {
  const { beams = 1, lengthPenalty = 1, earlyStopping = false, maxTokens = 256 } = options;
  const { noRepeatNgram = 0, minTokens = 0 } = options;
  let running: Hypothesis[] = [{ tokens: [], score: 0 }];
  let found: (Hypothesis & { finishReason: string })[] = [];
  for (let length = 1; ; length++) {
    const all = running.flatMap(({ tokens, score }) => {
      const history = [...prompt, ...tokens];
      const logits = fakeLogits(history, VOCAB, EOS);
      const norm = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      return Array.from(logits, (logit, id) => ({
        tokens: [...tokens, id],
        score: score + logit - norm,
      })).filter(({ tokens: next }) => {
        if (next.length <= minTokens && ENDS.includes(next.at(-1)!)) return false;
        const whole = [...prompt, ...next].join();
        const last = [...prompt, ...next].slice(-noRepeatNgram).join();
        return noRepeatNgram === 0 || `,${whole},`.split(`,${last},`).length === 2;
      });
    });
    all.sort((a, b) => b.score - a.score);
    const isEnd = ({ tokens }: Hypothesis) => ENDS.includes(tokens.at(-1)!);
    for (const one of all.slice(0, beams)) {
      if (!isEnd(one) && length < maxTokens) continue;
      const finishReason = isEnd(one) ? 'stop' : 'length';
      const tokens = isEnd(one) ? one.tokens.slice(0, -1) : one.tokens;
      found.push({ tokens, score: one.score / length ** lengthPenalty, finishReason });
    }
    found = found.sort((a, b) => b.score - a.score).slice(0, beams);
    running = all.filter((one) => !isEnd(one)).slice(0, beams);
    if (length === maxTokens) return found;
    if (found.length < beams) continue;
    if (earlyStopping === true) return found;
    const reach = earlyStopping === 'never' && lengthPenalty > 0 ? maxTokens : length;
    if (running[0]!.score / reach ** lengthPenalty <= found.at(-1)!.score) return found;
  }
}

async function expectFound(
  made: ReturnType<typeof bench>,
  prompt: number[],
  options: Omit<GenerateOptions, 'adapter'>,
) {
  const expected = search(prompt, options);
  const run = made.generate(prompt, { ...options, n: options.beams, endTokens: ENDS, reuse: false });
  const { choices = [], ...best } = await run;
  expect(choices.map(({ tokens, finishReason }) => ({ tokens, finishReason }))).toEqual(
    expected.map(({ tokens, finishReason }) => ({ tokens, finishReason })),
  );
  choices.forEach(({ score }, i) => {
    expect(score).toBeCloseTo(expected[i]!.score, 9);
  });
  expect(best.tokens).toEqual(expected[0]!.tokens);
  return expected;
}

describe('beam search', () => {
  it('finds what a naive search finds, for penalties and ways to end, beside each other', async () => {
    const made = bench();
    const lengths = new Set<number>();
    const reasons = new Set<string>();
    const cases: Promise<void>[] = [];
    for (const [i, lengthPenalty] of [0.5, 1, 2, -1, 0].entries()) {
      for (const [j, earlyStopping] of ([false, true, 'never'] as const).entries()) {
        const beams = 2 + ((i + j) % 4);
        const options = { beams, lengthPenalty, earlyStopping, maxTokens: 24 };
        cases.push(
          expectFound(made, range(5 + i, 1 + 13 * j), options).then((found) => {
            for (const { tokens, finishReason } of found) {
              lengths.add(tokens.length);
              reasons.add(finishReason);
            }
          }),
        );
      }
    }
    await Promise.all(cases);
    expect(lengths.size).toBeGreaterThan(5);
    expect([...reasons].sort()).toEqual(['length', 'stop']);
  });

  it('obeys rules: n-grams that come once, a least length, forbidden tokens', async () => {
    const made = bench();
    await expectFound(made, [1, 2, 1, 2], { beams: 3, maxTokens: 9, noRepeatNgram: 1 });
    await expectFound(made, range(9, 30), { beams: 4, maxTokens: 12, minTokens: 6 });
    const free = await made.generate(range(9, 30), { beams: 2, maxTokens: 6, endTokens: ENDS });
    const banned = await made.generate(range(9, 30), {
      beams: 2,
      maxTokens: 6,
      endTokens: ENDS,
      badWords: [[free.tokens[0]!]],
    });
    expect(banned.tokens).not.toContain(free.tokens[0]);
  });

  it('takes no more pages than were promised, however beams fork, and holds none afterwards', async () => {
    // 100 positions of a prompt and 40 more: 6 whole pages are shared, 3 more a beam.
    for (const [kvCapacity, beams] of [
      [(6 + 3 * 4) * 16, 4],
      [(6 + 3 * 7) * 16, 7],
    ] as const) {
      const made = bench({ kvCapacity });
      const options = { beams, maxTokens: 40, lengthPenalty: 2, earlyStopping: 'never' as const };
      await expectFound(made, range(3, 100), options);
      expect([made.native.liveSequences, made.native.usedPages]).toEqual([0, 0]);
      expect(() => made.generate(range(3, 100), { ...options, beams: beams + 1 })).toThrow(
        expect.objectContaining({ code: 'CONTEXT_OVERFLOW' }),
      );
    }
  });

  it('beams of states fork where they end', async () => {
    await expectFound(bench({ stateSlots: 8 }), range(3, 40), { beams: 4, maxTokens: 12 });
  });

  it('what is kept afterwards serves others with the bits of a miss', async () => {
    const made = bench();
    const prompt = range(5, 70);
    for (const maxTokens of [1, 7, 20]) {
      const { tokens } = await made.generate(prompt, { beams: 4, maxTokens, endTokens: ENDS });
      const next = [...prompt, ...tokens, 1];
      const after = await made.generate(next, { maxTokens: 10 });
      expect(after.usage.cachedTokens).toBeGreaterThanOrEqual(64);
      expect(after.tokens).toEqual(fakeGreedy(next, 10, VOCAB, EOS));
    }
  });

  it('an abort gives the best so far, at any moment, and leaves nothing wrong behind', async () => {
    const made = bench({ stepMs: 1 });
    for (const steps of [0, 1, 2, 5, 9]) {
      const { run, request } = made.start(range(steps, 30), { beams: 3, n: 2, maxTokens: 60 });
      await until(() => request.branch.length >= 30 + steps);
      made.engine.cancel(request);
      const { finishReason, tokens, choices = [] } = await run;
      expect(finishReason).toBe('abort');
      expect(tokens.length).toBeGreaterThanOrEqual(steps);
      expect(choices).toHaveLength(steps === 0 ? 1 : 2);
      await turns(20);
      const next = [...range(steps, 30), ...tokens, 1];
      const after = await made.generate(next, { maxTokens: 5 });
      expect(after.tokens).toEqual(fakeGreedy(next, 5, VOCAB, EOS));
    }
  });

  it('the text comes as one chunk, with all its tokens', async () => {
    const run = bench().generate(range(5, 10), { beams: 4, maxTokens: 9, endTokens: ENDS });
    const chunks = [];
    for await (const chunk of run) chunks.push(chunk);
    const { text, tokens } = await run;
    expect(chunks).toEqual([{ type: 'text', text, tokens }]);
  });

  it('rules that leave no token are said', async () => {
    const badWords = Array.from({ length: VOCAB }, (_, id) => [id]);
    await expect(bench().generate([5], { beams: 2, badWords })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });
});
