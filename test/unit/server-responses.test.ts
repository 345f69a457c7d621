/** /v1/responses: items in and out, whole and streamed. */
import { describe, expect, it } from 'vitest';
import { responsesRoute } from '../../lib/server/responses/response.js';
import type { Body } from '../model/served.js';
import { type Asked, call, callOf, json, pieces, result, stream } from './scripted-call.js';

const input = [
  { role: 'developer', content: [{ type: 'input_text', text: 'Add.' }] },
  { role: 'user', content: '1?' },
  { type: 'reasoning', id: 'rs', summary: [], content: [{ type: 'reasoning_text', text: 'Hm.' }] },
  { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'So.', annotations: [] }] },
  { type: 'function_call', call_id: 'x', name: 'add', arguments: '{"a":0}' },
  { type: 'function_call_output', call_id: 'x', output: '0' },
];
const tools = [{ type: 'function', name: 'add', description: 'Adds.', parameters: { type: 'object' } }];

describe('/v1/responses', () => {
  it('hands on items as a conversation, and tools', async () => {
    const asked: Asked = {};
    const body = { input, instructions: 'Be brief.', tools, tool_choice: 'required', max_output_tokens: 7 };
    await json(responsesRoute, body, callOf(asked));
    expect(asked.prompt).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'system', content: 'Add.' },
      { role: 'user', content: '1?' },
      {
        role: 'assistant',
        content: 'So.',
        reasoning_content: 'Hm.',
        tool_calls: [{ id: 'x', type: 'function', function: { name: 'add', arguments: '{"a":0}' } }],
      },
      { role: 'tool', tool_call_id: 'x', content: '0' },
    ]);
    expect(asked.options).toMatchObject({
      maxTokens: 7,
      toolChoice: 'required',
      tools: [{ name: 'add', description: 'Adds.', parameters: { type: 'object' } }],
    });
    await json(responsesRoute, { input: 'Hi', reasoning: { effort: 'none' } }, callOf(asked));
    expect(asked).toMatchObject({
      prompt: [{ role: 'user', content: 'Hi' }],
      variables: { enable_thinking: false },
    });
  });

  it('answers with thoughts, a message and calls', async () => {
    const response = await json(responsesRoute, { input }, callOf({}));
    expect(response).toMatchObject({ id: 'resp_1', object: 'response', status: 'completed', store: false });
    expect(response.output).toMatchObject([
      { id: 'rs_0_1', type: 'reasoning', content: [{ type: 'reasoning_text', text: 'I think hard.' }] },
      {
        id: 'msg_1_1',
        type: 'message',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'I add.', annotations: [] }],
      },
      { id: 'fc_2_1', type: 'function_call', call_id: call.id, name: 'add', arguments: '{"a": 1}' },
    ]);
    expect(response.usage).toMatchObject({
      input_tokens: 10,
      input_tokens_details: { cached_tokens: 4 },
      output_tokens: 6,
      total_tokens: 16,
    });
  });

  it('streams the same, event by event in the order of their numbers', async () => {
    const events = await stream(responsesRoute, { input }, callOf({}));
    expect(events.map(({ data }) => data.sequence_number)).toEqual(events.map((_, i) => i));
    expect(events.every(({ event, data }) => event === data.type)).toBe(true);
    const named = (name: string) => events.filter(({ event }) => event === name).map(({ data }) => data);
    expect(events.slice(0, 2).map(({ event }) => event)).toEqual([
      'response.created',
      'response.in_progress',
    ]);
    const whole = await json(responsesRoute, { input }, callOf({}));
    expect(events.at(-1)!.data).toEqual({
      type: 'response.completed',
      sequence_number: events.length - 1,
      response: whole,
    });
    expect(named('response.output_item.done').map(({ item }) => item)).toEqual(whole.output);
    expect(named('response.output_item.added').map(({ output_index }) => output_index)).toEqual([0, 1, 2]);
    const joined = (name: string) =>
      named(name)
        .map(({ delta }) => delta)
        .join('');
    expect(joined('response.reasoning_text.delta')).toBe('I think hard.');
    expect(joined('response.output_text.delta')).toBe('I add.');
    expect(joined('response.function_call_arguments.delta')).toBe('{"a": 1}');
    expect(named('response.output_text.done')[0]).toMatchObject({ text: 'I add.', item_id: 'msg_1_1' });
    expect(named('response.function_call_arguments.done')[0]).toMatchObject({ arguments: '{"a": 1}' });
  });

  it('names each item by one id, from its beginning to its end', async () => {
    const events = (await stream(responsesRoute, { input }, callOf({}))).map(({ data }) => data);
    const ids = new Set(events.filter(({ response }) => response).map(({ response }) => response.id));
    expect([...ids]).toEqual(['resp_1']);
    for (const [i, start] of ['rs_', 'msg_', 'fc_'].entries()) {
      const own = events.filter(({ output_index }) => output_index === i);
      expect(own.length).toBeGreaterThan(3);
      const named = new Set(own.map(({ item, item_id }) => item?.id ?? item_id));
      expect([...named]).toEqual([expect.stringMatching(new RegExp(`^${start}`))]);
    }
  });

  it('says when an answer was cut, and a silent one has an empty message', async () => {
    const cut = { ...result, finishReason: 'length' as const, toolCalls: [], reasoning: undefined };
    const whole = await json(responsesRoute, { input }, callOf({}, [], cut));
    expect(whole).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [{ status: 'incomplete' }],
    });
    const events = await stream(responsesRoute, { input }, callOf({}, pieces.slice(2, 3), cut));
    expect(events.at(-1)!.event).toBe('response.incomplete');
    expect(events.at(-1)!.data.response).toEqual(whole);
    const silent = await stream(responsesRoute, { input }, callOf({}, [], { ...cut, text: '' }));
    expect(silent.at(-1)!.data.response.output).toMatchObject([{ type: 'message', content: [{ text: '' }] }]);
    expect(silent.filter(({ event }: Body) => event === 'response.output_item.done')).toHaveLength(1);
  });

  it.each([
    [{ input: [] }, 'input'],
    [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input[0].content[0]'],
    [{ store: true }, 'store'],
    [{ previous_response_id: 'resp_0' }, 'previous_response_id'],
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ text: { format: { type: 'xml' } } }, 'text.format.type'],
    [{ max_output_tokens: 0 }, 'max_output_tokens'],
  ])('refuses %j', async (change, param) => {
    const promise = json(responsesRoute, { input, ...change }, callOf({}));
    await expect(promise).rejects.toMatchObject({ param, status: 400 });
  });
});
