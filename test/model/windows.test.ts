/**
 * A model whose layers hold windows of pages (two of three, 512 positions of 8,192), through the public API: what it
 * gives, what it finds again of a prompt and what memory it takes, against itself with all positions in memory.
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { startGeneration } from '../../lib/model.js';
import { native } from '../../lib/native.js';
import { CHECKPOINT_PAGES, WINDOW_PAGES, windowedFolder } from './windowed-folder.js';

const folder = windowedFolder();
afterAll(() => rmSync(folder, { recursive: true }));

/** Seeded: token ids of the fixture's vocabulary, without its special ones. */
const ids = (seed: number, count: number) =>
  Int32Array.from({ length: count }, (_, i) => 2 + ((seed * 31 + i * (i + seed) * 7) % 128));
const shared = ids(1, 1500);
const prompt = (seed: number, count: number) => Int32Array.of(...shared, ...ids(seed, count));
const options = { maxTokens: 24, temperature: 0, logprobs: 3, ignoreEos: true };

for (const dtype of ['fp32', 'int8'] as const) {
  let windowed: Model;
  let whole: Model;
  beforeAll(async () => {
    windowed = await Model.load(folder, { dtype, contextLength: 8192, kvCapacity: 8192, threads: 2 });
    // With so few positions windows would save nothing.
    whole = await Model.load(folder, { dtype, contextLength: 2048, kvCapacity: 2048, threads: 2 });
  });
  afterAll(async () => {
    await windowed?.dispose();
    await whole?.dispose();
  });

  it(`${dtype}: a prompt of 1,500 shared tokens gives what a miss gives, 1,280 of them from a checkpoint`, async () => {
    for (const [seed, count, cached] of [
      [2, 90, 0],
      [3, 60, 1280],
      [4, 130, 1280],
    ]) {
      const given = prompt(seed, count);
      const miss = await startGeneration(whole, given, options, { cache: { reuse: false } });
      const { tokens, logprobs, usage } = await windowed.generate(given, options);
      expect(usage.cachedTokens).toBe(cached);
      expect(tokens).toEqual(miss.tokens);
      expect(logprobs).toEqual(miss.logprobs);
    }
    // All positions are there: the whole prefix is.
    await whole.generate(prompt(2, 90), options);
    expect((await whole.generate(prompt(3, 60), options)).usage.cachedTokens).toBe(1500);
  });

  it(`${dtype}: memory is what was predicted, a window and checkpoints instead of the context`, async () => {
    const { memory, kvBytesPerToken } = windowed.info;
    expect(memory.predicted).toBe(memory.actual);
    const layerPage = (64 * kvBytesPerToken) / 3;
    expect(memory.kv).toBe(layerPage * (128 + 2 * (WINDOW_PAGES + CHECKPOINT_PAGES)));
    expect(memory.checkpoints).toBe(layerPage * 2 * CHECKPOINT_PAGES);
    expect(whole.info.memory).toMatchObject({ kv: layerPage * 3 * 32, checkpoints: 0 });
    const live = () => native().liveBytes!();
    const before = live();
    const other = await Model.load(folder, { dtype, contextLength: 8192, threads: 1 });
    expect(live() - before).toBe(other.info.memory.predicted);
    await other.dispose();
    expect(live()).toBe(before);
  });
}
