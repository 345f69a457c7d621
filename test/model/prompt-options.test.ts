/** Prompts that do not fit are cut in their middle, and answers begin as they are told, on a real model. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Model } from '../../lib/model.js';
import { fixtures } from './golden.js';

let model: Model;
beforeAll(async () => {
  model = await Model.load(`${fixtures}tiny-llama`, { contextLength: 128, dtype: 'fp32' });
});
afterAll(() => model.dispose());

const greedy = { maxTokens: 8, temperature: 0, ignoreEos: true };
const ids = Int32Array.from({ length: 300 }, (_, i) => 5 + ((i * 31) % 300));

it('the middle of ids is left out', async () => {
  await expect(model.generate(ids, greedy)).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
  const cut = await model.generate(ids, { ...greedy, overflow: 'truncate-middle' });
  const kept = Int32Array.from([...ids.slice(0, 60), ...ids.slice(-60)]);
  expect(cut.usage).toMatchObject({ promptTokens: 120, droppedTokens: 180 });
  expect(cut.tokens).toEqual((await model.generate(kept, greedy)).tokens);
  const short = await model.generate(kept, { ...greedy, overflow: 'truncate-middle' });
  expect(short.usage.droppedTokens).toBeUndefined();
});

it('of a conversation the middle of the oldest message goes', async () => {
  const messages = [
    { role: 'user', content: 'a b c '.repeat(60) },
    { role: 'assistant', content: 'yes' },
    { role: 'user', content: 'and now' },
  ];
  const cut = await model.generate(messages, { ...greedy, overflow: 'truncate-middle' });
  expect(cut.usage.droppedTokens).toBeGreaterThan(0);
  expect(cut.usage.promptTokens).toBeLessThanOrEqual(120);
  expect(cut.usage.promptTokens).toBeGreaterThan(100);
});

it('an answer begins with its prefix, which is part of the text', async () => {
  const messages = [{ role: 'user', content: 'a' }];
  const run = model.generate(messages, { ...greedy, answerPrefix: 'b c' });
  let streamed = '';
  for await (const { text } of run) streamed += text;
  const { text, tokens, usage } = await run;
  expect(text).toBe(streamed);
  expect(text.startsWith('b c')).toBe(true);
  expect(usage.completionTokens).toBe(tokens.length);
  const prompt = await model.tokenizer.encodeChat(messages);
  const prefix = await model.tokenizer.encodeAsync('b c', { addSpecialTokens: false });
  const same = await model.generate(Int32Array.from([...prompt, ...prefix]), greedy);
  expect(tokens).toEqual(same.tokens);
  expect(text).toBe(`b c${same.text}`);
});

it('refuses what does not go together, by name', async () => {
  const messages = [{ role: 'user', content: 'a' }];
  const wrong: [unknown, object, string][] = [
    ['a', { answerPrefix: 'b' }, 'answerPrefix'],
    ['a', { overflow: 'drop-turns' }, 'overflow'],
    [messages, { answerPrefix: 'b', responseFormat: { type: 'json' } }, 'answerPrefix'],
    [messages, { answerPrefix: '\ud800' }, 'answerPrefix'],
    [messages, { answerPrefix: 'b', tools: [{ name: 'f' }], toolChoice: 'required' }, 'answerPrefix'],
    [messages, { overflow: 'cut' }, 'overflow'],
  ];
  for (const [prompt, options, option] of wrong) {
    const failed = model.generate(prompt as string, { ...greedy, ...options });
    await expect(failed).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(failed).rejects.toThrow(option);
  }
  const turn = model.createSession().send('a', { overflow: 'error' });
  await expect(turn).rejects.toThrow(/createSession/);
});
