import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { KvasirError, type LoadProgress, Model } from '../../lib/index.js';
import { availableMemory } from '../../lib/memory.js';
import { startGeneration } from '../../lib/model.js';

const PROMPT = 'Once upon a time';

describe('stories-260k', () => {
  let model: Model;
  const progress: LoadProgress[] = [];
  beforeAll(async () => {
    model = await Model.load('stories-260k', { dtype: 'fp32', onProgress: (p) => progress.push(p) });
  });
  afterAll(() => model.dispose());

  it('says what was loaded', () => {
    expect(model.info).toMatchObject({
      name: 'stories-260k',
      architecture: 'llama',
      layers: 5,
      layerKinds: [{ layers: 5, ffnSize: 172 }],
      vocabSize: 512,
      dtype: 'fp32',
      kvDtype: 'fp32',
      device: 'cpu',
      contextLength: 512,
    });
    expect(model.info.deviceReason).toMatch(/CUDA|NVIDIA/);
    expect(model.info).toMatchObject({ gpuLayers: 0, deviceName: expect.stringMatching(/./) });
    expect(model.info.parameters).toBeGreaterThan(250_000);
    expect(model.info.activeParameters).toBe(model.info.parameters);
    expect(model.info.threads).toBeGreaterThan(0);
    const { predicted, actual, weights, kv, scratch } = model.info.memory;
    expect(actual).toBe(weights + kv + scratch);
    expect(Math.abs(predicted / actual - 1)).toBeLessThan(0.05);
    expect(kv).toBe(model.info.kvCapacity * model.info.kvBytesPerToken);
    expect(progress.at(-1)).toMatchObject({ phase: 'load', file: 'stories-260k' });
    expect(progress.at(-1)?.loaded).toBe(progress.at(-1)?.total);
  });

  it('generates: chunks join to the text, the text is that of the tokens', async () => {
    const run = model.generate(PROMPT, { maxTokens: 100, temperature: 0 });
    let text = '';
    const tokens: number[] = [];
    for await (const chunk of run) {
      text += chunk.text;
      tokens.push(...chunk.tokens);
    }
    const result = await run;
    expect(text).toBe(result.text);
    expect(tokens).toEqual(result.tokens);
    expect(result).toMatchObject({ finishReason: 'length', usage: { completionTokens: 100 } });
    expect(text).toMatch(/^, there was a little girl named L/);
    const ids = await model.tokenizer.encodeAsync(PROMPT);
    expect(result.usage.promptTokens).toBe(ids.length);
    expect(model.tokenizer.decode([...ids, ...tokens])).toBe(PROMPT + text);
    expect((await model.generate(ids, { maxTokens: 100, temperature: 0 })).tokens).toEqual(tokens);
  });

  it('a prefix hit gives what a miss gives, and neighbours change nothing', async () => {
    const options = { maxTokens: 40, temperature: 0.9, topP: 0.95, seed: 11 };
    const cold = await startGeneration(model, PROMPT, options, { cache: { reuse: false } });
    expect(cold.usage.cachedTokens).toBe(0);
    const crowd = await Promise.all(
      [11, 12, 11, 13, 11].map((seed) => model.generate(PROMPT, { ...options, seed })),
    );
    const warm = await model.generate(PROMPT, options);
    expect(warm.usage.cachedTokens).toBe(warm.usage.promptTokens - 1);
    for (const result of [crowd[0], crowd[2], crowd[4], warm]) expect(result.tokens).toEqual(cold.tokens);
    expect(crowd[1].tokens).not.toEqual(cold.tokens);
    expect(crowd[3].tokens).not.toEqual(crowd[1].tokens);
  });

  it('penalties, bias and stops reach the model', async () => {
    const plain = await model.generate(PROMPT, { maxTokens: 30, temperature: 0 });
    const ban = await model.generate(PROMPT, {
      maxTokens: 30,
      temperature: 0,
      logitBias: { [plain.tokens[3]]: -100 },
    });
    expect(ban.tokens.slice(0, 3)).toEqual(plain.tokens.slice(0, 3));
    expect(ban.tokens).not.toContain(plain.tokens[3]);
    const stopped = await model.generate(PROMPT, { maxTokens: 30, temperature: 0, stop: 'little' });
    expect(stopped).toMatchObject({ finishReason: 'stop', text: ', there was a ' });
    const penalized = await model.generate(PROMPT, { maxTokens: 60, temperature: 0, frequencyPenalty: 2 });
    const repeats = (tokens: number[]) => tokens.length - new Set(tokens).size;
    expect(repeats(penalized.tokens)).toBeLessThan(repeats(plain.tokens) + 30);
    expect(penalized.tokens).not.toEqual(plain.tokens);
  });

  it('log-probabilities agree with score', async () => {
    const { tokens, logprobs } = await model.generate(PROMPT, { maxTokens: 20, temperature: 0, logprobs: 5 });
    expect(logprobs).toHaveLength(20);
    for (const [i, entry] of (logprobs ?? []).entries()) {
      expect(entry.id).toBe(tokens[i]);
      expect(entry.top).toHaveLength(5);
      expect(entry.top[0]).toEqual({ id: entry.id, text: entry.text, logprob: entry.logprob });
    }
    const ids = await model.tokenizer.encodeAsync(PROMPT);
    const whole = await model.score(Int32Array.of(...ids, ...tokens));
    const before = await model.score(ids);
    const sum = (logprobs ?? []).reduce((total, entry) => total + entry.logprob, 0);
    expect(whole.logLikelihood - before.logLikelihood).toBeCloseTo(sum, 4);
    expect(whole.tokens).toBe(ids.length + 19);
    expect(whole.perplexity).toBeCloseTo(Math.exp(-whole.logLikelihood / whole.tokens), 10);
  });

  it('scores text beyond the context in windows, and rather likes its own stories', async () => {
    const { tokens } = await model.generate(PROMPT, {
      maxTokens: 480,
      temperature: 1,
      seed: 2,
      ignoreEos: true,
    });
    const long = Int32Array.from([1, ...tokens, ...tokens.slice(0, 400)]);
    const score = await model.score(long);
    expect(score.tokens).toBe(long.length - 1);
    expect(score.perplexity).toBeGreaterThan(1);
    expect(score.perplexity).toBeLessThan(40);
    const shuffled = await model.score(long.slice().sort());
    expect(shuffled.perplexity).toBeGreaterThan(4 * score.perplexity);
  });

  it('aborts by signal with what there is; before the start with nothing', async () => {
    const controller = new AbortController();
    const run = model.generate(PROMPT, { maxTokens: 500, ignoreEos: true, signal: controller.signal });
    let seen = 0;
    for await (const _ of run) if (++seen === 5) controller.abort();
    const result = await run;
    expect(result.finishReason).toBe('abort');
    expect(result.tokens.length).toBeGreaterThan(0);
    expect(result.tokens.length).toBeLessThan(500);
    const early = await model.generate(PROMPT, { signal: AbortSignal.abort() });
    expect(early).toMatchObject({ finishReason: 'abort', text: '', tokens: [] });
    await expect(model.score(PROMPT, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
  });

  it('refuses prompts that are none through the run, and throws nothing', async () => {
    const refused: unknown[] = [
      '',
      new Int32Array(),
      [],
      5,
      undefined,
      null,
      [{ role: 'user' }],
      [{ role: 'user', content: [null] }],
      [{ role: 'user', content: ['x'] }],
      ['x'],
      '\ud83d',
    ];
    for (const prompt of refused) {
      await expect(model.generate(prompt as string), JSON.stringify(prompt)).rejects.toMatchObject({
        name: 'KvasirError',
        code: 'INVALID_OPTION',
      });
    }
    const half = model.generate([{ role: 'user', content: 'a\udc00' }]);
    await expect(half).rejects.toThrow(/half a character/);
    await expect(model.generate(PROMPT, { temperature: Number.NaN })).rejects.toThrow(KvasirError);
    // Whoever iterates gets it too.
    await expect(model.generate('')[Symbol.asyncIterator]().next()).rejects.toThrow(/prompt is empty/);
  });

  it('refuses what shows later through the run', async () => {
    await expect(model.generate(Int32Array.of(1, 512))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(model.generate(Int32Array.of(-1))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    for (const id of [5, 512]) {
      await expect(model.generate(new Int32Array(513).fill(id))).rejects.toMatchObject({
        code: 'CONTEXT_OVERFLOW',
        details: { tokens: 513, limit: 512 },
      });
    }
    await expect(model.generate([{ role: 'user', content: 'Hi' }])).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('chat template'),
    });
    await expect(model.score('')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect((await model.generate(new Int32Array(512).fill(5))).tokens).toHaveLength(1);
  });
});

describe('load', () => {
  const fails = async (reference: string, options: object) => {
    const outcome = await Model.load(reference, options).then(
      async (model) => {
        await model.dispose();
        return undefined;
      },
      (error) => error,
    );
    expect(outcome).toBeInstanceOf(Error);
    return outcome as KvasirError;
  };

  it('int8 is the default, its cache too', async () => {
    const model = await Model.load('stories-260k');
    expect(model.info).toMatchObject({ dtype: 'int8', kvDtype: 'int8' });
    expect((await model.generate(PROMPT, { maxTokens: 5 })).tokens).toHaveLength(5);
    await model.dispose();
    const mixed = await Model.load('stories-260k', {
      dtype: 'int8',
      kvDtype: 'fp32',
      contextLength: 64,
      threads: 1,
    });
    expect(mixed.info).toMatchObject({ dtype: 'int8', kvDtype: 'fp32', contextLength: 64, threads: 1 });
    const halves = await Model.load('stories-260k', {
      dtype: 'fp32',
      kvDtype: 'fp16',
      contextLength: 64,
      threads: 1,
    });
    expect(halves.info.memory.kv).toBe(mixed.info.memory.kv / 2);
    await mixed.dispose();
    await halves.dispose();
  });

  it('impossible options', async () => {
    expect((await fails('stories-260k', { contextLength: 513 })).message).toMatch(
      /513; it must be .* 1 to 512/,
    );
    expect((await fails('stories-260k', { contextLength: 200, kvCapacity: 100 })).code).toBe(
      'INVALID_OPTION',
    );
    expect((await fails('stories-260k', { quantize: true })).code).toBe('INVALID_OPTION');
    expect((await fails('', {})).code).toBe('INVALID_OPTION');
    expect((await fails('no-such-model-anywhere', {})).code).toBe('MODEL_NOT_FOUND');
    for (const device of ['cuda', 'cuda:1']) {
      const error = await fails('stories-260k', { device });
      expect(error.code).toBe('DEVICE_UNAVAILABLE');
      expect(error.message).toMatch(/'cpu'/);
    }
  });

  it('KVASIR_THREADS', async () => {
    vi.stubEnv('KVASIR_THREADS', 'many');
    expect((await fails('stories-260k', {})).message).toMatch(/KVASIR_THREADS.*'many'/);
    vi.stubEnv('KVASIR_THREADS', '1');
    const model = await Model.load('stories-260k');
    expect(model.info.threads).toBe(1);
    await model.dispose();
    vi.unstubAllEnvs();
  });

  it('abort and a callback that throws reject with their reason', async () => {
    const reason = new Error('changed my mind');
    expect(await fails('stories-260k', { signal: AbortSignal.abort(reason) })).toBe(reason);
    const controller = new AbortController();
    const loading = fails('stories-260k', { signal: controller.signal });
    await sleep(0);
    controller.abort(reason);
    expect(await loading).toBe(reason);
    const broken = new Error('callback');
    const onProgress = () => {
      throw broken;
    };
    expect(await fails('stories-260k', { onProgress })).toBe(broken);
  });
});

describe('dispose', () => {
  it('ends runs with DISPOSED, is idempotent, and later calls throw', async () => {
    const model = await Model.load('stories-260k', { dtype: 'fp32' });
    const run = model.generate(PROMPT, { maxTokens: 500, ignoreEos: true });
    const seen = run[Symbol.asyncIterator]();
    await seen.next();
    const session = model.createSession();
    await Promise.all([model.dispose(), model.dispose()]);
    await model[Symbol.asyncDispose]();
    await expect(run).rejects.toMatchObject({ code: 'DISPOSED' });
    const disposed = expect.objectContaining({ code: 'DISPOSED' });
    await expect(model.generate(PROMPT)).rejects.toEqual(disposed);
    expect(() => model.createSession()).toThrow(disposed);
    await expect(session.send('Hi')).rejects.toEqual(disposed);
    session.dispose();
    await expect(model.score(PROMPT)).rejects.toEqual(disposed);
  });
});

describe('available memory', () => {
  const roots: string[] = [];
  afterEach(() => {
    for (const root of roots.splice(0)) rmSync(root, { recursive: true });
  });
  const files = (content: Record<string, string>) => {
    const root = mkdtempSync(join(tmpdir(), 'kvasir-memory-'));
    roots.push(root);
    for (const [path, text] of Object.entries(content)) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return `${root}/`;
  };
  const meminfo = { 'proc/meminfo': 'MemTotal: 9000 kB\nMemAvailable:    8000 kB\n' };

  it('is that of the machine, or what the control group leaves', () => {
    expect(availableMemory(files(meminfo))).toBe(8000 * 1024);
    const group = 'sys/fs/cgroup/memory';
    const v2 = {
      [`${group}.max`]: '5000000\n',
      [`${group}.current`]: '3000000\n',
      [`${group}.stat`]: 'anon 1\ninactive_file 600000\n',
    };
    expect(availableMemory(files({ ...meminfo, ...v2 }))).toBe(2_600_000);
    expect(availableMemory(files({ ...meminfo, ...v2, [`${group}.max`]: 'max\n' }))).toBe(8000 * 1024);
    const v1 = {
      [`${group}/memory.limit_in_bytes`]: '4000000\n',
      [`${group}/memory.usage_in_bytes`]: '3500000\n',
      [`${group}/memory.stat`]: 'inactive_file 1\ntotal_inactive_file 100000\n',
    };
    expect(availableMemory(files({ ...meminfo, ...v1 }))).toBe(600_000);
  });

  it('of this machine is some number of bytes', () => {
    expect(availableMemory()).toBeGreaterThan(2 ** 20);
  });
});
