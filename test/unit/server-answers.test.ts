/** Calls of tools and thoughts in each protocol, whole and streamed: a run that brings what it is told. */
import { describe, expect, it } from 'vitest';
import { messageRoute } from '../../lib/server/anthropic/message.js';
import { chatRoute } from '../../lib/server/openai/chat.js';
import type { Body } from '../model/served.js';
import { type Asked, call, callOf, json, pieces, result, stream } from './scripted-call.js';

describe('/v1/chat/completions', () => {
  const messages = [
    { role: 'user', content: '1?' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'x', type: 'function', function: { name: 'add', arguments: '{"a":0}' } }],
    },
    { role: 'tool', tool_call_id: 'x', content: '0' },
  ];
  const parameters = { type: 'object', properties: { a: { type: 'number' } } };
  const body = {
    messages,
    tools: [{ type: 'function', function: { name: 'add', description: 'Adds.', parameters } }],
  };

  it('hands on tools, choices and what was called before', async () => {
    const asked: Asked = {};
    await json(
      chatRoute,
      { ...body, tool_choice: { type: 'function', function: { name: 'add' } } },
      callOf(asked),
    );
    expect(asked.options).toMatchObject({
      tools: [{ name: 'add', description: 'Adds.', parameters }],
      toolChoice: { name: 'add' },
      maxTokens: 100,
    });
    expect(asked.prompt).toEqual([
      { role: 'user', content: '1?' },
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'x', type: 'function', function: { name: 'add', arguments: '{"a":0}' } }],
      },
      { role: 'tool', tool_call_id: 'x', content: '0' },
    ]);
    await json(chatRoute, { ...body, tool_choice: 'required' }, callOf(asked));
    expect(asked.options!.toolChoice).toBe('required');
    const strict = [{ type: 'function', function: { name: 'add', parameters, strict: true } }];
    await json(chatRoute, { ...body, tools: strict, tool_choice: 'auto' }, callOf(asked));
    expect(asked.options!.tools).toEqual([{ name: 'add', parameters, strict: true }]);
  });

  it('answers with calls and thoughts', async () => {
    const { choices, usage } = await json(chatRoute, body, callOf({}));
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        role: 'assistant',
        content: 'I add.',
        reasoning_content: 'I think hard.',
        tool_calls: [{ id: call.id, type: 'function', function: { name: 'add', arguments: '{"a": 1}' } }],
      },
    });
    expect(usage).toMatchObject({ prompt_tokens: 10, prompt_tokens_details: { cached_tokens: 4 } });
    const silent = await json(chatRoute, body, callOf({}, [], { ...result, text: '', reasoning: undefined }));
    expect(silent.choices[0].message.content).toBeNull();
    expect(silent.choices[0].message).not.toHaveProperty('reasoning_content');
  });

  it('streams them: id, name and index first, then arguments', async () => {
    const events = await stream(chatRoute, body, callOf({}));
    const deltas = events.slice(0, -1).map(({ data }) => data.choices[0].delta);
    expect(deltas[0]).toEqual({ role: 'assistant', content: '' });
    expect(deltas.map((delta) => delta.reasoning_content ?? '').join('')).toBe('I think hard.');
    expect(deltas.map((delta) => delta.content ?? '').join('')).toBe('I add.');
    const calls = deltas.flatMap((delta) => delta.tool_calls ?? []);
    expect(calls[0]).toMatchObject({ index: 0, id: call.id, type: 'function', function: { name: 'add' } });
    expect(calls.slice(1).every((one) => !('id' in one) && !('name' in one.function))).toBe(true);
    expect(calls.map((one) => one.function.arguments).join('')).toBe(call.argumentsText);
    expect(events.at(-2)!.data.choices[0].finish_reason).toBe('tool_calls');
  });

  it.each([
    [{ continue_final_message: true }, 'continue_final_message'],
    [{ continue_final_message: true, add_generation_prompt: true }, 'add_generation_prompt'],
    [{ add_generation_prompt: false }, 'add_generation_prompt'],
    [{ continue_final_message: true, messages: messages.slice(0, 2) }, 'messages'],
  ])('refuses to go on where there is nothing to go on from: %j', async (change, param) => {
    const promise = json(chatRoute, { ...body, ...change }, callOf({}));
    await expect(promise).rejects.toMatchObject({ param, status: 400 });
  });

  it('goes on with an answer that is begun, of which it tells the rest', async () => {
    const asked: Asked = {};
    const begun = [messages[0], { role: 'assistant', content: 'I a' }];
    const request = { messages: begun, continue_final_message: true, add_generation_prompt: false };
    const whole = await json(chatRoute, request, callOf(asked));
    expect(asked).toMatchObject({ prompt: [messages[0]], options: { answerPrefix: 'I a' } });
    expect(whole.choices[0].message.content).toBe('dd.');
    const events = await stream(chatRoute, request, callOf({}, pieces.slice(2)));
    const deltas = events.slice(0, -1).map(({ data }) => data.choices[0].delta);
    expect(deltas.map(({ content }) => content ?? '').join('')).toBe('dd.');
  });

  it('hands on what the template knows of thinking, and refuses what it does not know', async () => {
    const asked: Asked = {};
    await json(chatRoute, { messages, reasoning_effort: 'none' }, callOf(asked));
    expect(asked.variables).toEqual({ enable_thinking: false });
    await json(chatRoute, { messages, chat_template_kwargs: { x: 1 } }, callOf(asked));
    expect(asked.variables).toEqual({ x: 1 });
    await expect(
      json(chatRoute, { messages, reasoning_effort: 'high' }, callOf(asked)),
    ).rejects.toMatchObject({
      param: 'reasoning_effort',
    });
  });

  it.each([
    [{ parallel_tool_calls: false }, 'parallel_tool_calls'],
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    [{ tools: [], tool_choice: { type: 'function', function: { name: 'add' } } }, 'tool_choice'],
    [{ response_format: { type: 'xml' } }, 'response_format.type'],
  ])('refuses what cannot be promised: %j', async (change, param) => {
    const promise = json(chatRoute, { ...body, ...change }, callOf({}));
    await expect(promise).rejects.toMatchObject({ param, status: 400 });
  });
});

describe('/v1/messages', () => {
  const messages = [
    { role: 'user', content: [{ type: 'text', text: '1?', cache_control: { type: 'ephemeral' } }] },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'Hm.', signature: '' },
        { type: 'tool_use', id: 'x', name: 'add', input: { a: 0 } },
      ],
    },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'x', content: [{ type: 'text', text: '0' }], is_error: true },
        { type: 'text', text: 'And now?' },
      ],
    },
  ];
  const body = {
    max_tokens: 50,
    system: [{ type: 'text', text: 'Add.' }],
    messages,
    tools: [{ name: 'add', description: 'Adds.', input_schema: { type: 'object' } }],
  };

  it('hands on the conversation, tools and thinking', async () => {
    const asked: Asked = {};
    const thinking = { type: 'enabled', budget_tokens: 1024 };
    await json(messageRoute, { ...body, thinking, tool_choice: { type: 'any' }, top_k: 3 }, callOf(asked));
    expect(asked.options).toMatchObject({
      maxTokens: 50,
      topK: 3,
      tools: [{ name: 'add', description: 'Adds.', parameters: { type: 'object' } }],
      toolChoice: 'required',
      reasoning: { budget: 1024 },
    });
    expect(asked.prompt).toEqual([
      { role: 'system', content: 'Add.' },
      { role: 'user', content: '1?' },
      {
        role: 'assistant',
        content: '',
        reasoning_content: 'Hm.',
        tool_calls: [{ id: 'x', type: 'function', function: { name: 'add', arguments: { a: 0 } } }],
      },
      { role: 'tool', tool_call_id: 'x', name: 'add', content: 'Error: 0' },
      { role: 'user', content: 'And now?' },
    ]);
  });

  it('answers with blocks, and counts what was cached apart', async () => {
    const message = await json(messageRoute, body, callOf({}));
    expect(message).toEqual({
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [
        { type: 'thinking', thinking: 'I think hard.', signature: '' },
        { type: 'text', text: 'I add.' },
        { type: 'tool_use', id: call.id, name: 'add', input: { a: 1 } },
      ],
      stop_reason: 'tool_use',
      stop_sequence: null,
      usage: {
        input_tokens: 6,
        cache_read_input_tokens: 4,
        cache_creation_input_tokens: 0,
        output_tokens: 6,
      },
    });
  });

  it('streams each block whole: opened, filled, closed', async () => {
    const events = await stream(messageRoute, body, callOf({}));
    expect(events.every(({ event, data }) => event === data.type)).toBe(true);
    const kinds = events.map(({ event }) => event).filter((kind) => kind !== 'content_block_delta');
    const block = ['content_block_start', 'content_block_stop'];
    expect(kinds).toEqual(['message_start', ...block, ...block, ...block, 'message_delta', 'message_stop']);
    const starts = events.filter(({ event }) => event === 'content_block_start').map(({ data }) => data);
    expect(starts.map(({ index, content_block: { type } }) => [index, type])).toEqual([
      [0, 'thinking'],
      [1, 'text'],
      [2, 'tool_use'],
    ]);
    const deltas = events.filter(({ event }) => event === 'content_block_delta').map(({ data }) => data);
    const joined = (index: number, field: string) =>
      deltas
        .filter((one) => one.index === index)
        .map(({ delta }) => delta[field])
        .join('');
    expect(joined(0, 'thinking')).toBe('I think hard.');
    expect(joined(1, 'text')).toBe('I add.');
    expect(JSON.parse(joined(2, 'partial_json'))).toEqual({ a: 1 });
    const end = events.find(({ event }) => event === 'message_delta')!.data;
    expect(end).toMatchObject({
      delta: { stop_reason: 'tool_use' },
      usage: { input_tokens: 6, output_tokens: 6 },
    });
  });

  it('tells no thoughts to who wants none', async () => {
    const asked: Asked = {};
    const quiet = { ...body, thinking: { type: 'disabled' } };
    const message = await json(messageRoute, quiet, callOf(asked));
    expect(message.content.map(({ type }: Body) => type)).toEqual(['text', 'tool_use']);
    expect(asked.variables).toEqual({ enable_thinking: false });
    const events = await stream(messageRoute, quiet, callOf({}));
    expect(JSON.stringify(events)).not.toContain('think');
  });

  it('a silent answer is one empty text', async () => {
    const silent = {
      ...result,
      text: '',
      reasoning: undefined,
      toolCalls: [],
      finishReason: 'stop' as const,
    };
    expect((await json(messageRoute, body, callOf({}, [], silent))).content).toEqual([
      { type: 'text', text: '' },
    ]);
    const events = await stream(messageRoute, body, callOf({}, [], silent));
    expect(events.map(({ event }) => event)).toEqual([
      'message_start',
      'content_block_start',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
  });

  it('names the stop sequence that came first', async () => {
    const stopped = { ...result, toolCalls: [], finishReason: 'stop' as const };
    const ask = (stop_sequences: string[]) =>
      json(messageRoute, { ...body, stop_sequences }, callOf({}, pieces, stopped));
    expect(await ask(['<9>', '<4>', '<3>'])).toMatchObject({
      stop_reason: 'stop_sequence',
      stop_sequence: '<3>',
    });
    expect(await ask(['<9>'])).toMatchObject({ stop_reason: 'end_turn', stop_sequence: null });
  });

  it.each([
    [{ max_tokens: undefined }, 'max_tokens'],
    [{ temperature: 1.5 }, 'temperature'],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ role: 'user', content: [{ type: 'image', source: {} }] }] }, 'messages[0].content[0]'],
    [{ messages: [{ role: 'user', content: [{ type: 'document' }] }] }, 'messages[0].content[0]'],
    [{ messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages[0].content[0].text'],
    [{ messages: [...messages, messages[1]] }, 'messages'],
    [{ system: undefined, messages: [{ role: 'assistant', content: 'So' }] }, 'messages'],
    [
      { messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'y' }] }] },
      'messages[0].content[0].tool_use_id',
    ],
    [{ tools: [], tool_choice: { type: 'any' } }, 'tool_choice'],
    [
      { tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
      'tool_choice.disable_parallel_tool_use',
    ],
    [{ thinking: { type: 'enabled' } }, 'thinking.budget_tokens'],
    [{ frobnicate: 1 }, 'frobnicate'],
  ])('refuses %j', async (change, param) => {
    const promise = json(messageRoute, JSON.parse(JSON.stringify({ ...body, ...change })), callOf({}));
    await expect(promise).rejects.toMatchObject({ param, status: 400 });
  });
});
