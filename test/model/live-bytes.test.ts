/**
 * Native memory of models, counted to the byte: a load takes what was predicted, and whatever happens to a model, its
 * dispose brings the count back to where it was.
 */
import { expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { native } from '../../lib/native.js';
import { amount } from '../nightly.js';
import { fixtures } from './golden.js';

function liveBytes(): number {
  const { liveBytes: count } = native();
  if (count === undefined) throw new Error('no testing build: node scripts/setup.mjs --testing');
  return count();
}

const options = { contextLength: 128, kvCapacity: 256, threads: 2 };

const predicted = [
  'stories-260k',
  `${fixtures}families/gpt_oss`,
  `${fixtures}families/glm4_moe/glm4_moe.gguf`,
];
it.each(predicted)('a load of %s takes what was predicted', async (reference) => {
  const before = liveBytes();
  const model = await Model.load(reference, options);
  const { predicted, actual } = model.info.memory;
  expect(predicted).toBe(actual);
  expect(liveBytes() - before).toBe(actual);
  await model.dispose();
  expect(liveBytes()).toBe(before);
});

// A byte that one cycle keeps is seen by the next one: more of them meet more orders of what happens at once.
const cycles = amount(20, 500);

it(`${cycles} cycles of load, generate, abort, error and dispose end where they began`, async () => {
  const before = liveBytes();
  for (let cycle = 0; cycle < cycles; cycle++) {
    const model = await Model.load('stories-260k', options);
    await model.generate('Once', { maxTokens: 2 });
    const abort = new AbortController();
    const aborted = model.generate('Once', { maxTokens: 100, signal: abort.signal });
    abort.abort();
    await Promise.allSettled([aborted]);
    await expect(model.generate('a '.repeat(400), { maxTokens: 1 })).rejects.toThrow();
    const running = Promise.allSettled([model.generate('Once', { maxTokens: 100 })]);
    await model.dispose();
    expect((await running)[0].status).toBe('rejected');
    expect(liveBytes()).toBe(before);
  }
}, 600_000);
