/** Grammars are made on a thread of their own: hostile schemas hold no event loop, and end with their thread. */
import { performance } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { answerTable } from '../../lib/structure/answer-grammar.js';
import type { AnswerTask } from '../../lib/structure/answer-shape.js';
import { Converter, convertTask } from '../../lib/structure/converter.js';
import { amount } from '../nightly.js';

const wide = { anyOf: Array.from({ length: 50 }, (_, i) => ({ minimum: i, title: `${i}` })) };
/** 2,500 combinations. */
const many: AnswerTask = {
  format: { type: 'json', schema: { type: 'integer', allOf: [wide, structuredClone(wide)] } },
};
/** Backtracks longer than anybody waits. */
const endless: AnswerTask = {
  format: { type: 'json', schema: { enum: [`${'a'.repeat(60)}!`], pattern: '^(a+)+$' } },
};
const small: AnswerTask = { format: { type: 'choice', choices: ['a', 'b'] } };

it('makes the same tables as here', async () => {
  for (const task of [many, small]) expect(await convertTask(task)).toEqual(answerTable(task));
});

it('leaves the event loop alone', async () => {
  await convertTask(small);
  const started = performance.now();
  answerTable(many);
  const here = performance.now() - started;
  const before = performance.eventLoopUtilization();
  await convertTask(many);
  const { active } = performance.eventLoopUtilization(before);
  expect(active).toBeLessThan(here / 2);
});

it('ends what takes too long, and goes on with what waits', async () => {
  const converter = new Converter(amount(1000, 4000));
  const outcomes = await Promise.allSettled(
    [endless, small, endless, small].map((task) => converter.convert(task)),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled']);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'LIMIT_EXCEEDED' });
  }
  // What is refused is refused with its path, as here.
  const task: AnswerTask = { format: { type: 'json', schema: { properties: { a: { type: 'thing' } } } } };
  await expect(converter.convert(task)).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    details: { path: '#/properties/a/type' },
  });
}, 60_000);
