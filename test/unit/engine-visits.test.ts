/** Looking into a model between the engine's steps. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { bench, bound, EOS, range, until, VOCAB } from './engine-bench.js';
import { fakeGreedy } from './engine-fake.js';

it('visits come between steps, one at a time, and the requests go on between them', async () => {
  const { engine, native, generate } = bound(bench({ stepMs: 1 }));
  const running = generate([1, 2, 3], { maxTokens: 20 });
  const seen: number[] = [];
  let inside = 0;
  const visits = [0, 1, 2, 3].map((i) =>
    engine.visit(10, async () => {
      expect(++inside).toBe(1);
      // A sequence operation of a running step would throw.
      native.freeSequence(native.createSequence());
      const steps = native.steps.length;
      for (let turn = 0; turn < 20; turn++) await nextTurn();
      expect(native.steps.length).toBe(steps);
      seen.push(steps);
      inside--;
      return i;
    }),
  );
  expect(await Promise.all(visits)).toEqual([0, 1, 2, 3]);
  expect((await running).tokens).toEqual(fakeGreedy([1, 2, 3], 20, VOCAB, EOS));
  expect(new Set(seen).size).toBe(4);
});

it('a visit wakes an engine that has nothing else to do', async () => {
  const { engine } = bench();
  expect(await engine.visit(1, async () => 'seen')).toBe('seen');
  expect(await engine.visit(1, async () => 'again')).toBe('again');
});

it('what is kept gives way to a visit, and running requests do not', async () => {
  const { engine, native, generate } = bound(bench({ kvCapacity: 64, kvPageSize: 16 }));
  await generate(range(1, 40), { maxTokens: 4 });
  const all = native.freePages()[0]!;
  expect(all).toBeLessThan(4);
  expect(await engine.visit(60, async () => native.freePages()[0])).toBe(4);
  const before = native.steps.length;
  const running = generate(range(1, 30), { maxTokens: 10 });
  await until(() => native.steps.length > before);
  let ended = false;
  void running.then(() => {
    ended = true;
  });
  await engine.visit(60, async () => {
    await nextTurn();
    expect(ended).toBe(true);
  });
  await running;
});

it('more positions than the cache has are refused', async () => {
  const { engine, native } = bench({ kvCapacity: 64, kvPageSize: 16 });
  await expect(engine.visit(65, async () => 1)).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
  expect(native.steps).toEqual([]);
});

it('what a visit throws is its own, and the next one comes', async () => {
  const { engine } = bench();
  const broken = engine.visit(1, () =>
    Promise.reject(Object.assign(new Error('no'), { code: 'INVALID_OPTION' })),
  );
  await expect(broken).rejects.toMatchObject({ code: 'INVALID_OPTION', message: 'no' });
  expect(await engine.visit(1, async () => 2)).toBe(2);
});

it('a visit that waits ends with DISPOSED, one that has begun is awaited', async () => {
  const { engine, native } = bench();
  let begun = false;
  let over = false;
  const first = engine.visit(1, async () => {
    begun = true;
    for (let turn = 0; turn < 50; turn++) await nextTurn();
    expect(native.disposed).toBe(false);
    over = true;
  });
  const second = engine.visit(1, async () => 2);
  second.catch(() => {});
  while (!begun) await nextTurn();
  await engine.dispose();
  expect(over).toBe(true);
  await first;
  await expect(second).rejects.toMatchObject({ code: 'DISPOSED' });
  await expect(engine.visit(1, async () => 3)).rejects.toMatchObject({ code: 'DISPOSED' });
});
