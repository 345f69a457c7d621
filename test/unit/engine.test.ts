/** The engine over the fake native model: batches, ends, aborts and scores. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { GenerationChunk } from '../../lib/engine/run.js';
import { readHidden } from '../../lib/engine/rows-request.js';
import { ScoreRequest } from '../../lib/engine/score-request.js';
import { bench, bound, EOS, inSimulatedTime, range, turns, until, VOCAB } from './engine-bench.js';
import { fakeGreedy, fakeHidden, fakeLogits } from './engine-fake.js';

describe('batching', () => {
  it('eight requests share steps, and each gets what it gets alone', () =>
    inSimulatedTime(async () => {
      const { native, generate } = bound(bench({ stepMs: 2 }));
      const prompts = range(0, 8).map((first) => range(first, 5 + first));
      const results = await Promise.all(prompts.map((prompt) => generate(prompt, { maxTokens: 20 })));
      results.forEach((result, i) => {
        expect(result.tokens).toEqual(fakeGreedy(prompts[i], 20, VOCAB, EOS));
        expect(result.text).toBe(result.tokens.map((id) => ` ${id}`).join(''));
        expect(result.finishReason).toBe('length');
        expect(result.usage).toEqual({
          promptTokens: prompts[i].length,
          completionTokens: 20,
          cachedTokens: 0,
        });
      });
      expect(native.steps.length).toBeLessThan(30);
      expect(native.steps.filter((step) => step.sequences.length === 8).length).toBeGreaterThan(15);
    }));

  it('a seed gives the same tokens whatever the neighbours do', async () => {
    const options = { maxTokens: 30, temperature: 1.3, topP: 0.9, seed: 5 };
    const alone = await bench().generate([1, 2, 3], options);
    const crowded = bench();
    const neighbours = [4, 5, 6].map((first) =>
      crowded.generate(range(first, 300), { maxTokens: 40, seed: first }),
    );
    const result = await crowded.generate([1, 2, 3], options);
    await Promise.all(neighbours);
    expect(result.tokens).toEqual(alone.tokens);
    const other = await crowded.generate([1, 2, 3], { ...options, seed: 6 });
    expect(other.tokens).not.toEqual(alone.tokens);
  });

  it("a neighbour's long prompt delays no token by more than 100 ms", () =>
    inSimulatedTime(async () => {
      const { native, generate } = bound(bench({ stepMs: 5, tokenMs: 1 }));
      const gaps: number[] = [];
      let last = 0;
      const reader = (async () => {
        for await (const _ of generate([1, 2, 3], { maxTokens: 80 })) {
          if (last > 0) gaps.push(performance.now() - last);
          last = performance.now();
        }
      })();
      await until(() => gaps.length > 3);
      const neighbour = await generate(range(9, 2048), { maxTokens: 2 });
      await reader;
      expect(Math.max(...gaps)).toBeLessThan(100);
      expect(neighbour.usage.promptTokens).toBe(2048);
      expect(native.steps.some((step) => step.sequences.length === 2 && Math.max(...step.counts) > 20)).toBe(
        true,
      );
    }));

  it('a short prompt does not wait for a long one before it', () =>
    inSimulatedTime(async () => {
      const { generate } = bound(bench({ stepMs: 5, tokenMs: 0.5 }));
      const long = generate(range(9, 2000), { maxTokens: 1 });
      const short = await generate([1, 2, 3], { maxTokens: 1 });
      const longResult = await long;
      expect(short.timings.ttftMs).toBeLessThan(longResult.timings.ttftMs / 4);
    }));

  it('a prompt alone goes in large steps', () =>
    inSimulatedTime(async () => {
      const { native, generate } = bound(bench({ stepMs: 2, tokenMs: 0.05 }));
      await generate(range(9, 2048), { maxTokens: 1 });
      expect(Math.max(...native.steps.map((step) => step.counts[0]))).toBe(512);
    }));
});

describe('between two steps', () => {
  it('the next step runs before the caller hears of a token, but for the first one of a lone request', async () => {
    const { native, generate } = bound(bench());
    const running: number[] = [];
    for await (const { tokens } of generate(range(1, 5), { maxTokens: 6, temperature: 0 })) {
      expect(tokens).toHaveLength(1);
      running.push(native.steps.length);
    }
    // For the first token somebody waits, and for the step behind it nobody; nothing follows the last.
    expect(running).toEqual([1, 3, 4, 5, 6, 6]);
  });

  it('what a caller does with a token does not change the tokens, nor does leaving at one', async () => {
    const made = bench();
    const whole = await made.generate(range(2, 9), { maxTokens: 20, temperature: 1, seed: 3 });
    const seen: number[] = [];
    for await (const { tokens } of made.generate(range(2, 9), { maxTokens: 20, temperature: 1, seed: 3 })) {
      await sleep(1);
      seen.push(...tokens);
      if (seen.length >= 10) break;
    }
    expect(seen).toEqual(whole.tokens.slice(0, seen.length));
    expect((await made.generate(range(2, 9), { maxTokens: 20, temperature: 1, seed: 3 })).tokens).toEqual(
      whole.tokens,
    );
  });

  it('a token that was found before a failure is told before it', async () => {
    const { native, generate } = bound(bench());
    const run = generate(range(3, 4), { maxTokens: 50, temperature: 0 });
    const seen: number[] = [];
    await expect(async () => {
      for await (const { tokens } of run) {
        seen.push(...tokens);
        if (seen.length === 3) native.failure = new Error('broken');
      }
    }).rejects.toThrow('broken');
    // The step that ran when the third token came is the one that failed.
    expect(seen).toHaveLength(3);
  });
});

describe('end of a request', () => {
  it('end-of-text tokens, any of several, unless ignored', async () => {
    const { generate } = bound(bench());
    const course = fakeGreedy([1, 2, 3], 12, VOCAB, EOS);
    const endTokens = [course[6], course[9]];
    const result = await generate([1, 2, 3], { endTokens, maxTokens: 12 });
    expect(result).toMatchObject({ finishReason: 'stop', tokens: course.slice(0, 6) });
    const ignoring = await generate([1, 2, 3], { endTokens, maxTokens: 12, ignoreEos: true });
    expect(ignoring).toMatchObject({ finishReason: 'length', tokens: course });
  });

  it('a stop string across tokens ends the text before it', async () => {
    const { generate } = bound(bench());
    const course = fakeGreedy([1, 2, 3], 12, VOCAB, EOS);
    const stop = `${String(course[4]).slice(-1)} ${String(course[5]).slice(0, 1)}`;
    const run = generate([1, 2, 3], { stop, maxTokens: 12 });
    const chunks: GenerationChunk[] = [];
    for await (const chunk of run) chunks.push(chunk);
    const result = await run;
    const whole = course.map((id) => ` ${id}`).join('');
    expect(result.text).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(result.finishReason).toBe('stop');
    expect(chunks.map((chunk) => chunk.text).join('')).toBe(result.text);
    expect(chunks.flatMap((chunk) => chunk.tokens)).toEqual(result.tokens);
  });

  it('maxTokens is capped by the context', async () => {
    const { generate } = bound(bench({ kvCapacity: 64 }, 64));
    const result = await generate(range(1, 60), { maxTokens: 100 });
    expect(result).toMatchObject({ finishReason: 'length', usage: { completionTokens: 5 } });
    expect((await generate(range(1, 64), { maxTokens: 100 })).tokens).toHaveLength(1);
  });

  it('log-probabilities come with chunks and result', async () => {
    const { generate } = bound(bench());
    const run = generate([1, 2, 3], { maxTokens: 4, logprobs: 3, temperature: 2, seed: 3 });
    const streamed: unknown[] = [];
    for await (const chunk of run) streamed.push(...(chunk.logprobs ?? []));
    const result = await run;
    expect(result.logprobs).toEqual(streamed);
    expect(result.logprobs?.map((entry) => entry.id)).toEqual(result.tokens);
    const logits = fakeLogits([1, 2, 3], VOCAB, EOS);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
    expect(result.logprobs?.[0].logprob).toBeCloseTo(logits[result.tokens[0]] - Math.log(sum), 5);
    expect(result.logprobs?.[0].top[0].id).toBe(fakeGreedy([1, 2, 3], 1, VOCAB, EOS)[0]);
    expect((await generate([1], { maxTokens: 1 })).logprobs).toBeUndefined();
  });

  it('times and counts', () =>
    inSimulatedTime(async () => {
      const { generate } = bound(bench({ stepMs: 5 }));
      const { timings } = await generate([1, 2, 3], { maxTokens: 10 });
      expect(timings.ttftMs).toBeGreaterThanOrEqual(4);
      expect(timings.prefillTokensPerSecond).toBeGreaterThan(50);
      expect(timings.decodeTokensPerSecond).toBeGreaterThan(20);
      expect(timings.decodeTokensPerSecond).toBeLessThan(210);
    }));
});

describe('abort', () => {
  it('one leaves within a step and the others go on unharmed', async () => {
    const made = bench({ stepMs: 5 });
    const { native } = made;
    const victim = made.start([1, 2, 3], { maxTokens: 500 });
    const other = made.generate([4, 5, 6], { maxTokens: 40 });
    await until(() => victim.request.branch.length > 10);
    made.engine.cancel(victim.request);
    const aborted = await victim.run;
    const stepsThen = native.steps.length;
    expect(aborted.finishReason).toBe('abort');
    expect(aborted.tokens).toEqual(fakeGreedy([1, 2, 3], aborted.tokens.length, VOCAB, EOS));
    expect((await other).tokens).toEqual(fakeGreedy([4, 5, 6], 40, VOCAB, EOS));
    const later = native.steps.slice(stepsThen);
    expect(later.length).toBeGreaterThan(5);
    expect(later.every((step) => step.sequences.length === 1)).toBe(true);
  });

  it('in the middle of a lone step stops the native work', () =>
    inSimulatedTime(async () => {
      const made = bench({ stepMs: 300 });
      const { run, request } = made.start([1, 2, 3]);
      await until(() => made.native.steps.length === 1);
      made.engine.cancel(request);
      expect(await run).toMatchObject({
        finishReason: 'abort',
        text: '',
        tokens: [],
        timings: { ttftMs: 0 },
      });
      await until(() => made.native.steps[0].endedAt > 0);
      expect(made.native.steps[0].endedAt - made.native.steps[0].startedAt).toBeLessThan(200);
      expect(made.native.cancelled).toHaveLength(1);
      await until(() => made.native.liveSequences === 0);
    }));

  it('leaving the loop stops the native work, and the run gives what there is', async () => {
    const made = bench({ stepMs: 2 });
    const run = made.generate([1, 2, 3], { maxTokens: 500 });
    let seen = 0;
    for await (const _ of run) if (++seen === 5) break;
    const result = await run;
    expect(result.finishReason).toBe('abort');
    expect(result.tokens.length).toBeGreaterThanOrEqual(5);
    const steps = made.native.steps.length;
    await sleep(30);
    expect(made.native.steps.length).toBeLessThanOrEqual(steps + 1);
    expect((await made.generate([1, 2, 3], { maxTokens: 9 })).tokens).toEqual(
      fakeGreedy([1, 2, 3], 9, VOCAB, EOS),
    );
  });

  it('while it queues', async () => {
    const made = bench({ kvCapacity: 64, stepMs: 2 }, 64);
    const first = made.generate([1, 2, 3], { maxTokens: 60 });
    const second = made.start([4, 5, 6], { maxTokens: 60 });
    await until(() => made.native.steps.length > 3);
    made.engine.cancel(second.request);
    expect((await second.run).finishReason).toBe('abort');
    expect((await first).tokens).toHaveLength(60);
  });
});

describe('scoring', () => {
  it('gives the log-probability of each token, beside generating neighbours', async () => {
    const made = bench({ stepMs: 1 });
    const neighbour = made.generate([9, 9], { maxTokens: 20 });
    const tokens = Int32Array.from(range(5, 80));
    const request = new ScoreRequest(tokens, 1, {});
    made.engine.submit(request);
    const logprobs = await request.result;
    expect(logprobs).toHaveLength(79);
    for (const at of [1, 2, 40, 79]) {
      const logits = fakeLogits([...tokens.subarray(0, at)], VOCAB, EOS);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
      expect(logprobs[at - 1]).toBeCloseTo(logits[tokens[at]] - Math.log(sum), 4);
    }
    expect((await neighbour).tokens).toEqual(fakeGreedy([9, 9], 20, VOCAB, EOS));
    const tail = new ScoreRequest(tokens, 50, {});
    made.engine.submit(tail);
    expect(await tail.result).toEqual(logprobs.slice(49));
  });
});

describe('reading hidden states', () => {
  it('gives those of all tokens, or of the last, beside generating neighbours, a few steps ahead', async () => {
    const made = bench();
    const neighbour = made.generate([9, 9], { maxTokens: 20 });
    const tokens = Int32Array.from(range(5, 700));
    const expected = (at: number) => fakeHidden(fakeLogits([...tokens.subarray(0, at + 1)], VOCAB, EOS));
    let position = 0;
    for await (const row of readHidden(made.engine, { tokens, from: 0 })) {
      if (position % 50 === 0) expect(row).toEqual(expected(position));
      if (position++ > 0) continue;
      // Nobody reads: what waits is that of a few steps.
      expect((await neighbour).tokens).toEqual(fakeGreedy([9, 9], 20, VOCAB, EOS));
      await turns(20);
      const { length } = made.native.steps;
      await turns(200);
      expect(made.native.steps.length).toBe(length);
    }
    expect(position).toBe(700);
    const last = [];
    for await (const row of readHidden(made.engine, { tokens, from: 699 })) last.push(row);
    expect(last).toEqual([expected(699)]);
  });

  it('ends with the reason of an abort', async () => {
    const made = bench({ stepMs: 1 });
    const abort = new AbortController();
    const rows = readHidden(made.engine, {
      tokens: Int32Array.from(range(5, 2000)),
      from: 0,
      signal: abort.signal,
    });
    await rows.next();
    abort.abort(new Error('enough'));
    const rest = (async () => {
      for await (const _ of rows);
    })();
    await expect(rest).rejects.toThrow('enough');
    await until(() => made.native.liveSequences === 0);
  });
});

describe('adapters', () => {
  it('each request goes through its own, and shares prefixes with its like alone', async () => {
    const made = bench();
    const prompt = range(5, 100);
    const adapters = [-1, 0, 1, 0];
    const run = (adapter: number) => made.generate(prompt, { maxTokens: 12, adapter });
    const together = await Promise.all(adapters.map(run));
    const alone = [];
    for (const adapter of adapters) alone.push(await bench().generate(prompt, { maxTokens: 12, adapter }));
    expect(together.map(({ tokens }) => tokens)).toEqual(alone.map(({ tokens }) => tokens));
    expect(new Set(together.map(({ text }) => text)).size).toBe(3);
    const again = await Promise.all([run(1), run(2)]);
    expect(again.map(({ usage }) => usage.cachedTokens)).toEqual([99, 0]);
  });
});
