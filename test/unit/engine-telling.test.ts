/** Many requests hold no turn of the event loop for long: they are admitted and told in several, while the next step runs. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { chunkReader, type Generation } from '../../lib/engine/run.js';
import { bench, bound } from './engine-bench.js';

/** Eight ids. */
const prompt = (first: number) => Array.from({ length: 8 }, (_, i) => ((first * 8 + i) % 250) + 1);

/** Tells of the tokens of a run as they come. @returns all of them, by its result */
function follow(run: Generation, onTokens: (tokens: readonly number[]) => void): Promise<number[]> {
  return new Promise((resolve) => {
    const reader = chunkReader(run, () => {
      for (let chunk = reader.take(); chunk !== undefined; chunk = reader.take()) onTokens(chunk.tokens);
      const result = reader.result();
      if (result) resolve(result.tokens);
    });
  });
}

it('many requests are told in several turns, each in its order', async () => {
  const made = bench({ kvCapacity: 16_384 });
  let turn = 0;
  let over = false;
  const count = async () => {
    for (; !over; ++turn) await nextTurn();
  };
  const counting = count();
  const told = new Map<number, number>();
  const heard = Array.from({ length: 50 }, (): number[] => []);
  const results = await Promise.all(
    heard.map((tokens, i) =>
      follow(made.generate(prompt(i), { maxTokens: 6 }), (news) => {
        told.set(turn, (told.get(turn) ?? 0) + 1);
        tokens.push(...news);
      }),
    ),
  );
  over = true;
  await counting;
  expect(heard).toEqual(results);
  expect(results.every((tokens) => tokens.length === 6)).toBe(true);
  expect(Math.max(...made.native.steps.map(({ sequences }) => sequences.length))).toBe(50);
  expect(Math.max(...told.values())).toBeLessThanOrEqual(8);
});

it('many requests are admitted in several turns, and run in one step', async () => {
  const { native, generate } = bound(bench({ kvCapacity: 16_384 }));
  const created = vi.spyOn(native, 'createSequence');
  const all = Promise.all(Array.from({ length: 40 }, (_, i) => generate(prompt(i), { maxTokens: 2 })));
  const counts: number[] = [];
  for (; native.steps.length === 0; await nextTurn()) counts.push(created.mock.calls.length);
  expect(Math.max(...counts.map((count, i) => count - (counts[i - 1] ?? 0)))).toBe(16);
  expect(native.steps[0]?.sequences).toHaveLength(40);
  await all;
});

it('of several the first tokens wait for no turn of their own', async () => {
  const { native, generate } = bound(bench());
  const steps: number[] = [];
  const hear = () => steps.push(native.steps.length);
  await Promise.all([0, 1].map((i) => follow(generate(prompt(i), { maxTokens: 2 }), hear)));
  expect(steps.slice(0, 2)).toEqual([2, 2]);
});
