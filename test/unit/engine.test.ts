import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Engine } from '../../lib/engine/engine.js';
import { GenerationRequest, type Vocabulary } from '../../lib/engine/generation-request.js';
import { type GenerationChunk, GenerationRun } from '../../lib/engine/run.js';
import { ScoreRequest } from '../../lib/engine/score-request.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import { FakeNative, type FakeOptions, fakeGreedy, fakeLogits } from './engine-fake.js';

const VOCAB = 300;
const EOS = 299;

/** Token n is the text " n"; no end-of-text unless a test wants it. */
function vocabulary(endTokens: number[] = [EOS]): Vocabulary {
  return {
    size: VOCAB,
    endTokens: new Set(endTokens),
    textOf: (id) => ` ${id}`,
    createDecoder: () => ({ push: (id) => ` ${id}`, flush: () => '' }),
  };
}

interface StartOptions extends GenerateOptions {
  reuse?: boolean;
  owner?: object;
  endTokens?: number[];
}

class Bench {
  readonly native: FakeNative;
  readonly engine: Engine;
  readonly #buffers = new SamplerBuffers(VOCAB);

  constructor(
    options: FakeOptions = {},
    readonly contextLength = 2500,
  ) {
    this.native = new FakeNative({ banned: EOS, ...options });
    this.engine = new Engine(this.native, contextLength);
  }

  start(prompt: number[], options: StartOptions = {}): { run: GenerationRun; request: GenerationRequest } {
    const { reuse = true, owner, endTokens, ...generate } = options;
    const run = new GenerationRun();
    const request = new GenerationRequest({
      run,
      prompt: Int32Array.from(prompt),
      settings: parseGenerateOptions(generate, {}, VOCAB),
      contextLength: this.contextLength,
      vocabulary: vocabulary(endTokens),
      buffers: this.#buffers,
      cache: { reuse, owner },
      createdAt: performance.now(),
    });
    run.attach({ onDemand: () => this.engine.wake(), onCancel: () => this.engine.cancel(request) });
    this.engine.submit(request);
    return { run, request };
  }

  generate(prompt: number[], options: StartOptions = {}): GenerationRun {
    return this.start(prompt, options).run;
  }
}

const benches: Bench[] = [];
function bench(options: FakeOptions = {}, contextLength?: number): Bench {
  const made = new Bench(options, contextLength);
  benches.push(made);
  return made;
}
afterEach(async () => {
  for (const made of benches.splice(0)) await made.engine.dispose();
});

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => (from + i * 7) % 290);

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await sleep(1);
  expect(condition()).toBe(true);
}

describe('batching', () => {
  it('eight requests share steps, and each gets what it gets alone', async () => {
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
  });

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

  it("a neighbour's long prompt delays no token by more than 100 ms", async () => {
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
  });

  it('a short prompt does not wait for a long one before it', async () => {
    const { generate } = bound(bench({ stepMs: 5, tokenMs: 0.5 }));
    const long = generate(range(9, 2000), { maxTokens: 1 });
    const short = await generate([1, 2, 3], { maxTokens: 1 });
    const longResult = await long;
    expect(short.timings.ttftMs).toBeLessThan(longResult.timings.ttftMs / 4);
  });

  it('a prompt alone goes in large steps', async () => {
    const { native, generate } = bound(bench({ stepMs: 2, tokenMs: 0.05 }));
    await generate(range(9, 2048), { maxTokens: 1 });
    expect(Math.max(...native.steps.map((step) => step.counts[0]))).toBe(512);
  });
});

describe('between two steps', () => {
  it('the next step runs before the caller hears of a token', async () => {
    const { native, generate } = bound(bench());
    const running: number[] = [];
    for await (const { tokens } of generate(range(1, 5), { maxTokens: 6, temperature: 0 })) {
      expect(tokens).toHaveLength(1);
      running.push(native.steps.length);
    }
    // The prompt's step and one more are submitted when the first token arrives; nothing follows the last.
    expect(running).toEqual([2, 3, 4, 5, 6, 6]);
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

  it('times and counts', async () => {
    const { generate } = bound(bench({ stepMs: 5 }));
    const { timings } = await generate([1, 2, 3], { maxTokens: 10 });
    expect(timings.ttftMs).toBeGreaterThanOrEqual(4);
    expect(timings.prefillTokensPerSecond).toBeGreaterThan(50);
    expect(timings.decodeTokensPerSecond).toBeGreaterThan(20);
    expect(timings.decodeTokensPerSecond).toBeLessThan(210);
  });
});

describe('abort', () => {
  it('one leaves within a step and the others go on unharmed', async () => {
    const made = bench({ stepMs: 5 });
    const { native } = made;
    const victim = made.start([1, 2, 3], { maxTokens: 500 });
    const other = made.generate([4, 5, 6], { maxTokens: 40 });
    await until(() => victim.request.length > 10);
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

  it('in the middle of a lone step stops the native work', async () => {
    const made = bench({ stepMs: 300 });
    const { run, request } = made.start([1, 2, 3]);
    await until(() => made.native.steps.length === 1);
    made.engine.cancel(request);
    expect(await run).toMatchObject({ finishReason: 'abort', text: '', tokens: [], timings: { ttftMs: 0 } });
    await until(() => made.native.steps[0].endedAt > 0);
    expect(made.native.steps[0].endedAt - made.native.steps[0].startedAt).toBeLessThan(200);
    expect(made.native.cancelled).toHaveLength(1);
    await until(() => made.native.liveSequences === 0);
  });

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
    await until(() => request.length >= 1024);
    await sleep(50);
    expect(request.length).toBeLessThan(1100);
    const steps = made.native.steps.length;
    await sleep(30);
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
    expect(unread.request.sequence).toBeUndefined();
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

describe('scoring', () => {
  it('gives the log-probability of each token, beside generating neighbours', async () => {
    const made = bench({ stepMs: 1 });
    const neighbour = made.generate([9, 9], { maxTokens: 20 });
    const tokens = Int32Array.from(range(5, 80));
    const request = new ScoreRequest(tokens, 1, undefined);
    made.engine.submit(request);
    const logprobs = await request.result;
    expect(logprobs).toHaveLength(79);
    for (const at of [1, 2, 40, 79]) {
      const logits = fakeLogits([...tokens.subarray(0, at)], VOCAB, EOS);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
      expect(logprobs[at - 1]).toBeCloseTo(logits[tokens[at]] - Math.log(sum), 4);
    }
    expect((await neighbour).tokens).toEqual(fakeGreedy([9, 9], 20, VOCAB, EOS));
    const tail = new ScoreRequest(tokens, 50, undefined);
    made.engine.submit(tail);
    expect(await tail.result).toEqual(logprobs.slice(49));
  });
});

/** Lets a test destructure a bench. */
function bound(made: Bench) {
  return { native: made.native, generate: made.generate.bind(made) };
}
