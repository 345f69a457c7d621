/** Anthropic's protocol over the embedded model: what its clients send, and what they read of streams. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Body, Served } from './served.js';

let served: Served;
beforeAll(async () => {
  served = await Served.start();
});
afterAll(() => served.stop());

const question = { role: 'user', content: 'Once upon a time' };
const ask = (body: object) => served.post('/v1/messages', { max_tokens: 6, messages: [question], ...body });

describe('a message', () => {
  it('has its own shape, and nothing of other protocols', async () => {
    const { status, body } = await ask({});
    expect(status).toBe(200);
    expect(Object.keys(body).sort()).toEqual(
      ['content', 'id', 'model', 'role', 'stop_reason', 'stop_sequence', 'type', 'usage'].sort(),
    );
    expect(body).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'max_tokens' });
    expect(body.content).toEqual([{ type: 'text', text: expect.any(String) }]);
    expect(body.usage.output_tokens).toBe(6);
    const { body: chat } = await served.post('/v1/chat/completions', { messages: [question], max_tokens: 6 });
    expect(chat.choices[0].message.content).toBe(body.content[0].text);
  });

  it.each([
    { system: 'You are a helpful assistant.' },
    { system: [{ type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } }] },
    { messages: [question, { role: 'assistant', content: 'Hi there!' }, { role: 'user', content: 'And?' }] },
    {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is' },
            { type: 'text', text: 'it?' },
          ],
        },
      ],
    },
    { temperature: 0.5, top_p: 0.9, top_k: 40 },
    { metadata: { user_id: 'someone' } },
    { stop_sequences: ['\n', 'END'] },
    { thinking: { type: 'disabled' } },
  ])('answers %j', async (change) => {
    const { status, body } = await ask(change);
    expect(status).toBe(200);
    expect(body.content[0].type).toBe('text');
  });

  it('answers results of tools, before and behind a text', async () => {
    const call = { type: 'tool_use', id: 't1', name: 'weather', input: { city: 'Oslo' } };
    const answered = { type: 'tool_result', tool_use_id: 't1', content: 'Sunny, 25°C' };
    const text = { type: 'text', text: 'Here it is:' };
    for (const content of [
      [answered],
      [text, answered],
      [answered, text],
      [{ ...answered, is_error: true }],
    ]) {
      const messages = [question, { role: 'assistant', content: [call] }, { role: 'user', content }];
      expect((await ask({ messages })).status).toBe(200);
    }
    const image = {
      type: 'image',
      source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' },
    };
    const shown = { ...answered, content: [{ type: 'text', text: 'File:' }, image] };
    const messages = [question, { role: 'assistant', content: [call] }, { role: 'user', content: [shown] }];
    expect(await ask({ messages })).toMatchObject({
      status: 400,
      body: {
        type: 'error',
        error: { message: expect.stringMatching(/^messages\[2\]\.content\[0\]\.content\[1\]: /) },
      },
    });
  });

  it('goes on with an answer that is begun, whole and streamed alike', async () => {
    const begun = 'There was a cat who ';
    const messages = [question, { role: 'assistant', content: [{ type: 'text', text: begun }] }];
    const own = await served.model.generate([question], { maxTokens: 12, answerPrefix: begun });
    expect(own.text.startsWith(begun)).toBe(true);
    const rest = own.text.slice(begun.length);
    const { body } = await ask({ messages, max_tokens: 12 });
    expect(body.content).toEqual([{ type: 'text', text: rest }]);
    expect(rest).not.toBe('');
    const events = await served.stream('/v1/messages', { messages, max_tokens: 12 });
    expect(events.map(({ data }) => data.delta?.text ?? '').join('')).toBe(rest);
    const { body: count } = await served.post('/v1/messages/count_tokens', { messages });
    expect(count.input_tokens).toBe(own.usage.promptTokens);
    const chat = await served.post('/v1/chat/completions', {
      messages: [question, { role: 'assistant', content: begun }],
      max_tokens: 12,
      n: 2,
      continue_final_message: true,
      add_generation_prompt: false,
    });
    expect(chat.body.choices.map((one: Body) => one.message.content)).toEqual([rest, rest]);
  });

  it.each([{ messages: [] }, { messages: undefined }, { max_tokens: undefined }])(
    'refuses %j',
    async (change) => {
      expect(await ask(change)).toMatchObject({
        status: 400,
        body: { type: 'error', error: { type: 'invalid_request_error' } },
      });
    },
  );
});

describe('a streamed message', () => {
  it('tells the figures of its prompt first, and all of them last', async () => {
    const messages = [
      { role: 'user', content: 'Lily and Tom went to the park. They saw a big dog. '.repeat(4) },
    ];
    for (const isCached of [false, true]) {
      const events = await served.stream('/v1/messages', { max_tokens: 6, messages });
      const of = (name: string): Body => events.find(({ event }) => event === name)!.data;
      const { message } = of('message_start');
      expect(message).toMatchObject({ type: 'message', role: 'assistant', content: [], stop_reason: null });
      const { usage } = of('message_delta');
      expect(message.usage).toEqual({ ...usage, output_tokens: 0 });
      expect(usage.output_tokens).toBe(6);
      expect(usage.input_tokens).toBeGreaterThan(0);
      if (isCached) expect(usage.cache_read_input_tokens).toBeGreaterThan(30);
      const { body } = await served.post('/v1/messages/count_tokens', { messages });
      expect(body).toEqual({ input_tokens: usage.input_tokens + usage.cache_read_input_tokens });
    }
  });

  it('fills blocks in their order, each opened and closed once', async () => {
    const tools = [
      { name: 'tell', input_schema: { type: 'object', properties: {}, additionalProperties: false } },
    ];
    for (const change of [{}, { tools, tool_choice: { type: 'any' }, max_tokens: 60 }]) {
      const events = await served.stream('/v1/messages', { max_tokens: 8, messages: [question], ...change });
      expect(events[0]!.event).toBe('message_start');
      expect(events.slice(-2).map(({ event }) => event)).toEqual(['message_delta', 'message_stop']);
      const indices = (name: string) =>
        events.filter(({ event }) => event === name).map(({ data }) => data.index);
      const starts = indices('content_block_start');
      expect(starts).toEqual(starts.map((_, i) => i));
      expect(indices('content_block_stop')).toEqual(starts);
      expect(new Set(indices('content_block_delta')).size).toBeLessThanOrEqual(starts.length);
      expect(starts.length).toBeGreaterThan(0);
    }
  });
});
