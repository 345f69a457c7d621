/** `kvasir serve` over HTTP with Anthropic's own client. */
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunningServer, until } from './running-server.js';

let server: RunningServer;
let client: Anthropic;
beforeAll(async () => {
  server = await RunningServer.start(['--api-key', 'secret']);
  client = new Anthropic({ apiKey: 'secret', baseURL: server.address, maxRetries: 0 });
});
afterAll(() => server.stop());

const request = {
  model: 'stories',
  max_tokens: 12,
  messages: [{ role: 'user' as const, content: 'Once upon a time' }],
};

describe("Anthropic's own client", () => {
  it('lists models and counts tokens', async () => {
    const models = await client.models.list();
    expect(models.data.map(({ id, type }) => [id, type])).toEqual([['stories', 'model']]);
    const { messages, model } = request;
    const { input_tokens } = await client.messages.countTokens({ model, messages });
    const message = await client.messages.create(request);
    expect(message.usage.input_tokens + message.usage.cache_read_input_tokens!).toBe(input_tokens);
  });

  it('gets a message, whole and streamed', async () => {
    const whole = await client.messages.create(request);
    expect(whole).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'max_tokens' });
    expect(whole.usage.output_tokens).toBe(12);
    const stream = client.messages.stream({ ...request, system: '' });
    let text = '';
    stream.on('text', (piece) => {
      text += piece;
    });
    const final = await stream.finalMessage();
    expect(final.content).toEqual(whole.content);
    expect(text).toBe((whole.content[0] as Anthropic.TextBlock).text);
    expect(final.stop_reason).toBe('max_tokens');
    expect(final.usage.output_tokens).toBe(12);
    expect(final.usage.input_tokens + final.usage.cache_read_input_tokens!).toBe(
      whole.usage.input_tokens + whole.usage.cache_read_input_tokens!,
    );
  });

  it('hears which stop sequence ended it', async () => {
    const whole = await client.messages.create(request);
    const { text } = whole.content[0] as Anthropic.TextBlock;
    const word = text.trim().split(/\s+/)[1]!;
    const stopped = await client.messages.create({ ...request, stop_sequences: ['#', word] });
    expect(stopped).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: word });
    expect((stopped.content[0] as Anthropic.TextBlock).text).toBe(text.slice(0, text.indexOf(word)));
  });

  it('is given a call where it demands one', async () => {
    const message = await client.messages.create({
      ...request,
      max_tokens: 80,
      tools: [{ name: 'tell', description: 'Tells.', input_schema: { type: 'object', properties: {} } }],
      tool_choice: { type: 'tool', name: 'tell' },
    });
    const calls = message.content.filter(({ type }) => type === 'tool_use') as Anthropic.ToolUseBlock[];
    expect(calls[0]!.name).toBe('tell');
  });

  it('hears of what is wrong in its own classes of errors', async () => {
    const ask = (change: object) =>
      client.messages.create({ ...request, ...change } as never).catch((e) => e);
    const wrong = await ask({ temperature: 2 });
    expect(wrong).toBeInstanceOf(Anthropic.BadRequestError);
    expect(wrong.error).toMatchObject({
      type: 'error',
      error: { type: 'invalid_request_error', message: expect.stringContaining('temperature') },
      request_id: wrong.requestID ?? expect.any(String),
    });
    expect(await ask({ model: 'claude' })).toBeInstanceOf(Anthropic.NotFoundError);
    const stranger = new Anthropic({ apiKey: 'guess', baseURL: server.address, maxRetries: 0 });
    const refused = await stranger.messages.create(request).catch((e) => e);
    expect(refused).toBeInstanceOf(Anthropic.AuthenticationError);
    expect(refused.error.error.type).toBe('authentication_error');
    const image = { type: 'image', source: { type: 'url', url: 'https://example.org/a.png' } };
    expect(await ask({ messages: [{ role: 'user', content: [image] }] })).toBeInstanceOf(
      Anthropic.BadRequestError,
    );
  });

  it('ends its run when it leaves', async () => {
    const stream = client.messages.stream({ ...request, max_tokens: 3900 });
    for await (const _ of stream) break;
    stream.abort();
    await until(async () => (await server.running()) === 0);
  });
});
