/** The loop over a model that writes what it is told: calls are made, results and errors go back, and it ends when it should. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Generate, type RunnableTool, runTools } from '../../lib/tools/run-tools.js';
import { withSingleCalls } from '../../lib/tools/single-calls.js';
import { chatTemplate } from './chat-tokenizer.js';
import { type ScriptedModel, scriptedModel } from './scripted-model.js';

const messages = [{ role: 'user', content: 'Hi' }];
const parameters = { type: 'object', properties: { a: { type: 'number' } } };
const call = (name: string, args: string): string =>
  `<tool_call>{"name": "${name}", "arguments": ${args}}</tool_call>`;
let model: ScriptedModel;
let seen: unknown[] = [];

const tools: RunnableTool[] = [
  {
    name: 'twice',
    parameters,
    execute: ({ a }) => {
      seen.push(a);
      return { result: 2 * (a as number) };
    },
  },
  {
    type: 'function',
    function: { name: 'fail', parameters },
    execute: () => {
      throw new Error('out of order');
    },
  },
  {
    name: 'wait',
    parameters,
    timeoutMs: 30,
    execute: (_args, { signal }) => sleep(60_000, undefined, { signal }),
  },
];
const run = (given: object = {}, used: readonly RunnableTool[] = tools) =>
  runTools(model.generate as Generate, messages, used, given);

beforeAll(async () => {
  model = await scriptedModel(chatTemplate);
});
afterAll(() => model.close());
beforeEach(() => {
  seen = [];
  model.native.reset();
  model.prompts.length = 0;
});

it('runs calls, several at once, until there are none', async () => {
  model.next(
    `I double.${call('twice', '{"a": 2}')}${call('twice', '{"a": 5}')}`,
    call('twice', '{"a": 10}'),
    'It is 20.',
  );
  const rounds: number[] = [];
  const result = await run({ onChunk: (_chunk: unknown, round: number) => rounds.push(round) });
  expect(result).toMatchObject({ text: 'It is 20.', finishReason: 'stop', rounds: 3, toolCalls: [] });
  expect(seen).toEqual([2, 5, 10]);
  expect(new Set(rounds)).toEqual(new Set([0, 1, 2]));
  const [, first, one, two] = result.messages;
  expect(result.messages.map(({ role }) => role)).toEqual([
    ...['user', 'assistant', 'tool', 'tool', 'assistant', 'tool', 'assistant'],
  ]);
  const ids = (first.tool_calls as { id: string }[]).map(({ id }) => id);
  expect(first).toMatchObject({
    content: 'I double.',
    tool_calls: [{ function: { name: 'twice', arguments: { a: 2 } } }, {}],
  });
  expect([one, two]).toMatchObject([
    { tool_call_id: ids[0], name: 'twice', content: '{"result":4}' },
    { tool_call_id: ids[1], content: '{"result":10}' },
  ]);
  expect(model.prompts[1]).toContain(
    '<turn>tool:{"result":4}<end><turn>tool:{"result":10}<end><turn>assistant:',
  );
  // What was given stays as it was.
  expect(messages).toHaveLength(1);
});

it('tells the model what went wrong', async () => {
  model.next(
    call('fail', '{}') +
      call('wait', '{}') +
      call('nothing', '{}') +
      call('twice', '{"a": }') +
      call('twice', '{}'),
    'Sorry.',
  );
  const circle: { it?: object } = {};
  circle.it = circle;
  const odd: RunnableTool = { name: 'twice', parameters, execute: () => circle };
  // The model writes what it likes.
  const fail = { ...tools[1], function: { name: 'fail', parameters, strict: false } };
  const result = await run({}, [{ ...odd, strict: false }, fail, { ...tools[2], strict: false }]);
  expect(result.messages.slice(2, -1).map(({ content }) => content)).toEqual([
    'Error: out of order',
    'Error: The tool took longer than 30 ms.',
    "Error: There is no tool 'nothing'.",
    'Error: The arguments are no JSON.',
    expect.stringMatching(/^Error: .*circular/i),
  ]);
  expect(result.text).toBe('Sorry.');
});

it('ends after its rounds, with calls that are not made', async () => {
  model.next(call('twice', '{"a": 1}'), call('twice', '{"a": 2}'), call('twice', '{"a": 3}'));
  const result = await run({ maxRounds: 2 });
  expect(result).toMatchObject({
    rounds: 2,
    finishReason: 'tool_calls',
    toolCalls: [{ arguments: { a: 2 } }],
  });
  expect(seen).toEqual([1]);
});

it('requires a call in the first round alone', async () => {
  model.next(call('twice', '{"a": 4}'), 'It is 8.');
  const result = await run({ toolChoice: { name: 'twice' } });
  expect(result).toMatchObject({ text: 'It is 8.', rounds: 2 });
  expect(seen).toEqual([4]);
});

it('an abort ends tools and answers, and what there is comes back', async () => {
  const stop = new AbortController();
  model.next(call('wait', '{}'), 'Never.');
  const slow: RunnableTool = { ...tools[2], timeoutMs: 60_000 };
  const running = run({ signal: stop.signal }, [slow]);
  while (model.native.scripts.length > 1) await sleep(5);
  await sleep(20);
  stop.abort(new Error('enough'));
  const result = await running;
  expect(result).toMatchObject({ finishReason: 'abort', rounds: 1 });
  expect(result.messages.at(-1)).toMatchObject({ role: 'tool', content: 'Error: enough' });
  expect(await run({ signal: stop.signal })).toMatchObject({ finishReason: 'abort', text: '' });
});

it('refuses what cannot be run', async () => {
  const refused = { code: 'INVALID_OPTION' };
  for (const wrong of [
    5,
    [{}],
    [{ name: 'a' }],
    [{ name: 'a', execute: 1 }],
    [{ execute: () => 1 }],
    [null],
  ]) {
    await expect(run({}, wrong as never)).rejects.toMatchObject(refused);
  }
  for (const wrong of [{ maxRounds: 0 }, { toolTimeoutMs: 1.5 }, { onChunk: 1 }, { tools }, { some: 1 }, 5]) {
    await expect(run(wrong as never)).rejects.toMatchObject(refused);
  }
});

it('gives a template that knows one call a message as many messages', () => {
  const calls = [{ id: 'a' }, { id: 'b' }];
  const result = (id: string) => ({ role: 'tool', tool_call_id: id, content: id });
  const many = [
    { role: 'user', content: 'x' },
    { role: 'assistant', content: 'y', reasoning_content: 'z', tool_calls: calls },
    result('b'),
    result('a'),
    { role: 'user', content: 'w' },
  ];
  expect(withSingleCalls(many)).toEqual([
    many[0],
    { role: 'assistant', content: 'y', reasoning_content: 'z', tool_calls: [{ id: 'a' }] },
    result('a'),
    { role: 'assistant', content: '', tool_calls: [{ id: 'b' }] },
    result('b'),
    many[4],
  ]);
});
