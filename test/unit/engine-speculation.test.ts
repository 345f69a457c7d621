/**
 * Drafts over the fake native model, which computes another text after any wrong rollback, and throws where pages are short.
 * In simulated time, so that what steps cost, and with it what is drafted, is the same each time.
 */
import { expect, it } from 'vitest';
import type { CreateSource, DraftSource } from '../../lib/engine/draft-source.js';
import type { GenerationResult } from '../../lib/engine/run.js';
import type { GenerateOptions } from '../../lib/options.js';
import { bench, bound, inSimulatedTime, range, until } from './engine-bench.js';
import type { FakeOptions } from './engine-fake.js';

const dearStep: FakeOptions = { stepMs: 10, tokenMs: 0.1 };

/** Proposes what comes, but for every so many-th token. */
function oracle(text: readonly number[], wrongEvery: number): CreateSource {
  return (): DraftSource => ({
    expected: [0.8],
    waiting: false,
    propose: (_tokens, length, most) => {
      const proposed = text.slice(length, length + most);
      const tokens = proposed.map((token, i) =>
        (length + i) % wrongEvery === 0 ? (token + 1) % 290 : token,
      );
      return { tokens, classes: tokens.map(() => 0) };
    },
    end: () => {},
  });
}

const comparable = ({ timings: _, ...rest }: GenerationResult) => rest;

/** Greedy and sampled, and all that changes what is chosen. */
const choices: Omit<GenerateOptions, 'adapter'>[] = [
  { temperature: 0 },
  { temperature: 0.9, seed: 4, topP: 0.95 },
  { temperature: 1.4, seed: 5, topK: 300, minP: 0.01, logprobs: 3 },
  { temperature: 0.8, seed: 6, repetitionPenalty: 1.3, presencePenalty: 0.5, frequencyPenalty: 0.2 },
  { temperature: 1, seed: 7, typicalP: 0.9, xtcProbability: 0.5, dryMultiplier: 0.8 },
  { temperature: 1, seed: 8, mirostat: 2 },
  { temperature: 1, seed: 9, noRepeatNgram: 2, minTokens: 20, stop: [' 1'] },
  { temperature: 0, stop: [' 12', ' 7'], logprobs: 0 },
  { temperature: 1, seed: 3, processLogits: (logits) => void logits.fill(3, 5, 9) },
];

it('gives the text, log-probabilities and end that come without, in fewer steps', async () => {
  await inSimulatedTime(async () => {
    for (const options of choices) {
      for (const wrongEvery of [2, 9]) {
        const prompt = range(3, 20);
        const given = { ...options, maxTokens: 50 };
        const plain = bound(bench(dearStep));
        const expected = await plain.generate(prompt, given);
        const { native, generate } = bound(bench(dearStep));
        const drafts = oracle([...prompt, ...expected.tokens], wrongEvery);
        const result = await generate(prompt, { ...given, drafts });
        expect(comparable(result)).toEqual(comparable(expected));
        const { draftedTokens = 0, acceptedTokens = 0 } = result.timings;
        expect(acceptedTokens).toBeGreaterThan(0);
        expect(draftedTokens).toBeGreaterThan(acceptedTokens);
        // Where the text ends with a draft, that step brings no token of its own.
        const saved = plain.native.steps.length - native.steps.length;
        expect([acceptedTokens, acceptedTokens - 1]).toContain(saved);
        expect(expected.timings.draftedTokens).toBeUndefined();
      }
    }
  });
});

it('beside others, with windows, few pages and shared prefixes: all end with their texts', async () => {
  const window = { window: 40, pages: 40, every: 64, checkpoints: 4 };
  for (const more of [{}, { kvCapacity: 16 * 24 }, { window }]) {
    await inSimulatedTime(async () => {
      const prompts = Array.from({ length: 12 }, (_, i) => [...range(5, 30 + (i % 3)), i, ...range(i, i)]);
      const options = (i: number) => ({ ...choices[i % choices.length], maxTokens: 60 - i });
      const expected: GenerationResult[] = [];
      for (const [i, prompt] of prompts.entries()) {
        expected.push(await bench().generate(prompt, options(i)));
      }
      const { native, generate } = bound(bench({ ...dearStep, ...more }));
      const results = await Promise.all(
        prompts.map((prompt, i) => {
          const drafts = oracle([...prompt, ...expected[i]!.tokens], 2 + i);
          return generate(prompt, { ...options(i), drafts: i % 4 === 3 ? undefined : drafts });
        }),
      );
      const told = ({ text, tokens, finishReason, logprobs }: GenerationResult) => [
        text,
        tokens,
        finishReason,
        logprobs,
      ];
      expect(results.map(told)).toEqual(expected.map(told));
      expect(results.reduce((sum, { timings }) => sum + (timings.acceptedTokens ?? 0), 0)).toBeGreaterThan(
        99,
      );
      // What was kept has no drafts in it: conversations go on from it.
      for (const [i, prompt] of prompts.entries()) {
        const next = [...prompt, ...results[i]!.tokens, 5, 6];
        const again = await generate(next, { maxTokens: 5, temperature: 0 });
        expect(again.tokens).toEqual((await bench().generate(next, { maxTokens: 5 })).tokens);
      }
      expect(native.usedPages).toBeLessThanOrEqual(256);
    });
  }
});

it('several texts of one prompt, each with drafts of its own', async () => {
  await inSimulatedTime(async () => {
    const prompt = range(3, 40);
    const options = { n: 4, temperature: 0.6, seed: 3, maxTokens: 40 };
    const expected = await bench(dearStep).generate(prompt, options);
    const { native, generate } = bound(bench(dearStep));
    let created = 0;
    const drafts: CreateSource = (...given) => {
      const { tokens } = expected.choices![created++]!;
      return oracle([...prompt, ...tokens], 6)(...given);
    };
    const result = await generate(prompt, { ...options, drafts, reuse: false });
    expect(comparable(result)).toEqual(comparable(expected));
    expect(result.timings.acceptedTokens).toBeGreaterThan(40);
    expect(native.liveSequences).toBe(0);
  });
});

it('an abort between a step and its rows leaves nothing that is not the text', async () => {
  await inSimulatedTime(async () => {
    const prompt = range(3, 40);
    const expected = await bench().generate(prompt, { maxTokens: 200 });
    const made = bench(dearStep);
    const text = [...prompt, ...expected.tokens];
    const { run, request } = made.start(prompt, { maxTokens: 200, drafts: oracle(text, 3) });
    const beside = made.generate(range(9, 30), { maxTokens: 300 });
    await until(() => request.branch.length > 60);
    made.engine.cancel(request);
    const { tokens, finishReason } = await run;
    expect(finishReason).toBe('abort');
    expect(tokens).toEqual(expected.tokens.slice(0, tokens.length));
    const next = await made.generate([...prompt, ...tokens, 1, 2, 3], { maxTokens: 9 });
    expect(next.tokens).toEqual(
      (await bench().generate([...prompt, ...tokens, 1, 2, 3], { maxTokens: 9 })).tokens,
    );
    await beside;
  });
});

it('drafts less where rows are dear, and nothing of what is never right', async () => {
  await inSimulatedTime(async () => {
    const prompt = range(3, 20);
    const expected = await bench().generate(prompt, { maxTokens: 300 });
    const text = [...prompt, ...expected.tokens];
    const run = async (fake: FakeOptions, wrongEvery: number) => {
      const { timings } = await bench(fake).generate(prompt, {
        maxTokens: 300,
        drafts: oracle(text, wrongEvery),
      });
      return [timings.draftedTokens!, timings.acceptedTokens!] as const;
    };
    const [cheap] = await run({ stepMs: 10, tokenMs: 0.1 }, 4);
    const [dear, accepted] = await run({ stepMs: 10, tokenMs: 4 }, 4);
    const [dearest] = await run({ stepMs: 10, tokenMs: 60 }, 4);
    const [wrong] = await run({ stepMs: 10, tokenMs: 2 }, 1);
    expect(cheap).toBeGreaterThan(350);
    expect(dear).toBeLessThan(0.8 * cheap);
    expect(accepted).toBeGreaterThan(0.35 * dear);
    expect(dearest).toBeLessThan(60);
    expect(wrong).toBeLessThan(45);
  });
});
