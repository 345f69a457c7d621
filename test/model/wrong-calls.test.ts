/**
 * Nothing that a caller gives makes a public call fail with what is no KvasirError. A sample; nightly 4,000 calls.
 * A fault names call and seed: `judgeCall(calls, name, new Random(seed), KvasirError)` repeats it.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Random } from '../../scripts/fuzz/random.mjs';
import { judgeCall, wrongCalls } from '../../scripts/fuzz/wrong-calls.mjs';
import * as aiSdk from '../../lib/ai-sdk/index.js';
import * as library from '../../lib/index.js';
import * as langchain from '../../lib/langchain/index.js';
import { createHandler } from '../../lib/server/index.js';
import { amount } from '../nightly.js';

const { KvasirError, Model } = library;
const greedy = { maxTokens: 20, temperature: 0 };
let model: library.Model;
let unhandled = 0;
const count = (): number => ++unhandled;

beforeAll(async () => {
  process.on('unhandledRejection', count);
  model = await Model.load('stories-260k', { dtype: 'fp32' });
});

afterAll(async () => {
  await model.dispose();
  process.off('unhandledRejection', count);
});

test('wrong things end with a KvasirError, at once or as a rejection, and the model works afterwards', async () => {
  const before = await model.generate('Once upon a time', greedy);
  const session = model.createSession({ system: 'x' });
  const calls = wrongCalls({ ...library, ...aiSdk, ...langchain, createHandler }, model, session);
  const names = [...Object.keys(calls.throwing), ...Object.keys(calls.rejecting)];
  const faults: string[] = [];
  for (let seed = 0; seed < amount(800, 4000); ++seed) {
    const name = names[seed % names.length]!;
    const started = performance.now();
    const fault = await judgeCall(calls, name, new Random(seed), KvasirError);
    const took = performance.now() - started;
    if (fault !== undefined) faults.push(`${name}, seed ${seed}: ${fault}`);
    if (took > 10_000) faults.push(`${name}, seed ${seed}: took ${took} ms`);
  }
  expect(faults).toEqual([]);
  expect((await model.generate('Once upon a time', greedy)).tokens).toEqual(before.tokens);
  await new Promise(setImmediate);
  expect(unhandled).toBe(0);
}, 300_000);

test('an error can be made of anything', () => {
  for (const wrong of [undefined, null, 5, Symbol('x'), { code: 1 }, 'x'.repeat(1e6)]) {
    const error = new KvasirError(wrong as never, wrong as never, wrong as never);
    expect(error.message.length).toBeLessThan(2100);
  }
});

test('score and generate copy what they are given', async () => {
  const ids = await model.tokenizer.encodeAsync('Once upon a time there was a little girl');
  const right = await model.score(ids);
  const given = ids.slice();
  const scoring = model.score(given);
  const running = model.generate(given, greedy);
  given.fill(5);
  expect(await scoring).toEqual(right);
  expect((await running).tokens).toEqual((await model.generate(ids, greedy)).tokens);
});
