/**
 * Models with states through the public API, as if they were made for long texts: what they find again of a prompt, that a
 * hit gives what a miss does, and what memory that takes.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheLines, predictMemory } from '../../lib/cli/inspect.js';
import { Model } from '../../lib/index.js';
import { startGeneration } from '../../lib/model.js';
import { native } from '../../lib/native.js';
import { describeAt, loadNative } from './native-model.js';
import { longFolder } from './windowed-folder.js';

/** Short convolutions; gated delta nets beside attention and experts; the same, dense. */
const families = ['lfm2', 'qwen3_next', 'qwen3_5_text'];
const folders = families.map((family) => longFolder(family, { max_position_embeddings: 8192 }));
const [lfm2] = folders.map(({ path }) => path) as [string];
afterAll(() => {
  for (const { remove } of folders) remove();
});

/** Seeded: token ids of the fixtures' vocabulary, without its special ones. */
const ids = (seed: number, count: number) =>
  Int32Array.from({ length: count }, (_, i) => 2 + ((seed * 31 + i * (i + seed) * 7) % 128));
const shared = ids(1, 1500);
const prompt = (seed: number, count: number) => Int32Array.of(...shared, ...ids(seed, count));
const options = { maxTokens: 24, temperature: 0, logprobs: 3, ignoreEos: true };

describe.each(
  folders.flatMap(({ path }, i) =>
    (['fp32', 'int8'] as const).map((dtype) => ({ family: families[i]!, path, dtype })),
  ),
)('$family, $dtype', ({ path, dtype }) => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load(path, { dtype, contextLength: 2048, threads: 2, keptStates: 6 });
  });
  afterAll(() => model?.dispose());

  it('a prompt of 1,500 shared tokens gives what a miss gives, 1,280 of them from a checkpoint', async () => {
    for (const [seed, count, cached] of [
      [2, 90, 0],
      [3, 60, 1280],
      [4, 130, 1280],
    ]) {
      const given = prompt(seed!, count!);
      const miss = await startGeneration(model, given, options, { cache: { reuse: false } });
      const { tokens, logprobs, usage } = await model.generate(given, options);
      expect(miss.usage.cachedTokens).toBe(0);
      expect(usage.cachedTokens).toBe(cached);
      expect(tokens).toEqual(miss.tokens);
      expect(logprobs).toEqual(miss.logprobs);
    }
  });

  it('what goes on at the end of another one needs no checkpoint', async () => {
    const first = ids(7, 100);
    const { tokens } = await model.generate(first, options);
    const second = Int32Array.of(...first, ...tokens, 5, 6);
    const miss = await startGeneration(model, second, options, { cache: { reuse: false } });
    const hit = await model.generate(second, options);
    expect(hit.usage.cachedTokens).toBe(100 + tokens.length - 1);
    expect([hit.tokens, hit.logprobs]).toEqual([miss.tokens, miss.logprobs]);
  });

  it('memory is what was predicted, with the states that are kept', async () => {
    const { memory, stateBytes, stateSlots, keptStates, kvWindows } = model.info;
    expect([stateSlots, keptStates, kvWindows]).toEqual([128, 6, []]);
    // Of three layers two rows of 32 channels each.
    if (path === lfm2) expect(stateBytes).toBe(3 * 2 * 32 * 4);
    expect(memory.predicted).toBe(memory.actual);
    expect(memory.checkpoints).toBe(6 * stateBytes);
    for (const [given, count] of [
      [{}, 64],
      [{ keptStates: 0 }, 0],
      [{ keptStates: 100 }, 100],
    ] as const) {
      const before = native().liveBytes!();
      const other = await Model.load(path, { dtype, contextLength: 2048, threads: 2, ...given });
      expect(native().liveBytes!() - before).toBe(other.info.memory.predicted);
      expect(other.info.memory.predicted - memory.predicted).toBe((count - 6) * stateBytes);
      expect(other.info.memory.checkpoints).toBe(count * stateBytes);
      await other.dispose();
    }
  });
});

it('without states to keep nothing is found again', async () => {
  const model = await Model.load(lfm2, { contextLength: 2048, threads: 2, keptStates: 0 });
  for (let i = 0; i < 2; i++) {
    expect((await model.generate(prompt(2, 90), options)).usage.cachedTokens).toBe(0);
  }
  await model.dispose();
  await expect(Model.load(lfm2, { keptStates: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

it('windows beside states: both are told, before the load and after it', async () => {
  const described = await describeAt(lfm2);
  const attentions = described.spec.attentions.map((attention) => ({ ...attention, window: 512 }));
  const both = { ...described, spec: { ...described.spec, attentions } };
  const given = {
    dtype: 'int8',
    kvDtype: 'int8',
    contextLength: 8192,
    kvCapacity: 8192,
    threads: 1,
  } as const;
  // K and V of 64 positions, 2 heads of 8 padded to 16, with a scale each; 20 pages for checkpoints, and 64 states.
  const page = 2 * 64 * 2 * (16 + 4);
  const checkpoints = 20 * page + 64 * 768;
  const predicted = predictMemory(both, given);
  expect(predicted).toMatchObject({ windows: [512], checkpoints, kv: 37 * page + (128 + 64) * 768 });
  const share = Math.round((100 * checkpoints) / predicted.kv);
  expect(cacheLines(predicted)).toEqual([
    'Layers with a window (512) hold no more than it.',
    `${share} % of the KV cache are for checkpoints of prompts.`,
  ]);
  expect(cacheLines(predictMemory(both, { ...given, keptStates: 0 }))).toHaveLength(1);
  expect(cacheLines(predictMemory(described, { ...given, keptStates: 0 }))).toEqual([]);
  const model = await loadNative(both, given);
  expect(model.info.kvTables).toEqual([{ window: 512, pages: 37 }]);
  expect(model.info.checkpoints).toEqual({ every: 256, most: 4, ofPrompt: 4, bytes: checkpoints });
  await model.dispose();
});
