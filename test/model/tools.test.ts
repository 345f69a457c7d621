/** Tools over a real model: a small one that tells stories is made to call, in our own format, and the loop ends. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Model } from '../../lib/index.js';
import { makeChatModel } from '../cli/cli-command.js';

const messages = [{ role: 'user', content: 'Tell me the time.' }];
const parameters = { type: 'object', properties: { zone: { type: 'string' } } };
let folder: ReturnType<typeof makeChatModel>;
let model: Model;

beforeAll(async () => {
  folder = makeChatModel();
  model = await Model.load(folder.folder, { dtype: 'fp32', contextLength: 1024 });
});
afterAll(async () => {
  await model.dispose();
  folder.remove();
});

test('a call that is required begins, whatever the model would tell; the loop runs or reports it', async () => {
  const seen: unknown[] = [];
  const tools = [
    { name: 'clock', parameters, execute: (args: unknown) => seen.push(args) },
    { name: 'calendar', parameters, execute: (args: unknown) => seen.push(args) },
  ];
  const options = { temperature: 0, maxTokens: 48, maxRounds: 2 };
  const result = await model.runTools(messages, tools, { ...options, toolChoice: { name: 'calendar' } });
  const [, answer] = result.messages;
  expect(answer).toMatchObject({ role: 'assistant', tool_calls: [{ function: { name: 'calendar' } }] });
  const chosen = await model.generate(messages, {
    ...{ temperature: 0, maxTokens: 48, toolChoice: 'required' },
    tools: tools.map(({ execute: _, ...tool }) => tool),
  });
  expect(['clock', 'calendar']).toContain(chosen.toolCalls![0].name);
  // The template knows no tools.
  await expect(
    model.generate(messages, { tools: [{ name: 'clock' }], toolFormat: 'template' }),
  ).rejects.toMatchObject({
    code: 'INVALID_OPTION',
  });
});

test('a guard and processLogits work on a real model, and change nothing where they change nothing', async () => {
  const options = { temperature: 0.8, seed: 5, maxTokens: 40 };
  const plain = await model.generate('Once upon a time', options);
  const same = await model.generate('Once upon a time', {
    ...options,
    processLogits: () => {},
    guard: (text) => text,
  });
  expect([same.tokens, same.text, same.finishReason]).toEqual([plain.tokens, plain.text, plain.finishReason]);
  const held = await model.generate('Once upon a time', {
    ...options,
    guard: () => ({ release: '', end: true }),
  });
  expect(held).toMatchObject({ text: '', finishReason: 'content_filter' });
});
