/** What the server refuses, and clients that leave; over the embedded model and without a port. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventsOf, post, replyOf, Served, url } from './served.js';

let served: Served;
beforeAll(async () => {
  served = await Served.start();
});
afterAll(() => served.stop());

const hello = [{ role: 'user', content: 'Once upon a time' }];
const chat = (body: object) =>
  served.post('/v1/chat/completions', { messages: hello, max_tokens: 8, ...body });

describe('what is wrong is refused, and named', () => {
  it.each([
    [{ messages: undefined }, 'messages'],
    [{ messages: [] }, 'messages'],
    [{ messages: 'hi' }, 'messages'],
    [{ messages: [123] }, 'messages[0]'],
    [{ messages: [{}] }, 'messages[0].role'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content'],
    [{ messages: [{ role: 'system', content: 1 }] }, 'messages[0].content'],
    [{ messages: [...hello, { role: 'wizard', content: 'x' }] }, 'messages[1].role'],
    [{ temperature: '1' }, 'temperature'],
    [{ temperature: -1 }, 'temperature'],
    [{ top_p: 0 }, 'top_p'],
    [{ seed: 1.5 }, 'seed'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_completion_tokens: 4 }, 'max_tokens'],
    [{ n: 0 }, 'n'],
    [{ n: 100 }, 'n'],
    [{ stop: '' }, 'stop'],
    [{ logit_bias: { 9999: 1 } }, 'logit_bias'],
    [{ logit_bias: { x: 1 } }, 'logit_bias.x'],
    [{ top_logprobs: 3 }, 'top_logprobs'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ store: true }, 'store'],
    [{ frobnicate: 1 }, 'frobnicate'],
    [{ stream: true, stream_options: { include_all: true } }, 'stream_options.include_all'],
    [{ model: 'other' }, 'model'],
  ])('%j: %s', async (body, param) => {
    const { status, body: reply } = await chat(body);
    expect(status).toBe('model' in body ? 404 : 400);
    expect(reply.error).toMatchObject({ type: 'invalid_request_error', param });
    expect(reply.error.message.length).toBeLessThan(600);
  });

  it.each(['image_url', 'input_audio', 'file'])('parts of type %s', async (type) => {
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is it?' },
          { type, [type]: {} },
        ],
      },
    ];
    expect(await chat({ messages })).toMatchObject({
      status: 400,
      body: { error: { param: 'messages[0].content[1]', code: 'text_only' } },
    });
  });

  it('null is as good as absent', async () => {
    const { body } = await chat({ temperature: null, stop: null, stream: null, n: null });
    expect(body.choices).toEqual((await chat({})).body.choices);
  });

  it('other paths and methods', async () => {
    expect(await served.get('/v1/other')).toMatchObject({
      status: 404,
      body: { error: { code: 'not_found' } },
    });
    expect(await served.get('/v1/chat/completions')).toMatchObject({
      status: 405,
      body: { error: { code: 'method_not_allowed' } },
    });
    const { status } = await replyOf(served.handler(new Request(url('/v1/models'), { method: 'DELETE' })));
    expect(status).toBe(405);
  });

  it('bodies that are no JSON', async () => {
    expect(await served.post('/v1/chat/completions', '{"messages":')).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_json' } },
    });
  });

  it('a lenient server leaves out what it does not know, at any depth, and no more than that', async () => {
    const lenient = await Served.start({ lenient: true });
    try {
      const body = { messages: hello, max_tokens: 4, frobnicate: { deep: 1 } };
      expect((await lenient.post('/v1/chat/completions', body)).status).toBe(200);
      const deep = { ...body, messages: [{ ...hello[0], mood: 'good' }] };
      expect((await lenient.post('/v1/chat/completions', deep)).status).toBe(200);
      const wrong = { ...body, temperature: 'hot' };
      expect((await lenient.post('/v1/chat/completions', wrong)).body.error.param).toBe('temperature');
    } finally {
      await lenient.stop();
    }
  });
});

describe('clients that leave', () => {
  it('end their run: nothing is computed for them any more', async () => {
    const stop = new AbortController();
    const body = { prompt: 'Once upon a time', max_tokens: 4000, ignore_eos: true, stream: true };
    const response = await post(served.handler, '/v1/completions', body, { signal: stop.signal });
    const reader = response.body!.getReader();
    const first = eventsOf(new TextDecoder().decode((await reader.read()).value));
    expect(first[0]!.data.choices[0].text).not.toBe('');
    expect((await served.get('/health')).body.running).toBe(1);
    stop.abort();
    const deadline = performance.now() + 5000;
    while ((await served.get('/health')).body.running > 0) {
      expect(performance.now()).toBeLessThan(deadline);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });

  it('so do those who cancel the body, and those who wait for a whole answer', async () => {
    const body = { prompt: 'Once upon a time', max_tokens: 4000, ignore_eos: true };
    const streamed = await post(served.handler, '/v1/completions', { ...body, stream: true });
    const reader = streamed.body!.getReader();
    await reader.read();
    await reader.cancel();
    expect((await served.get('/health')).body.running).toBe(0);
    const stop = new AbortController();
    const whole = post(served.handler, '/v1/completions', body, { signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    expect((await whole).status).toBe(499);
    expect((await served.get('/health')).body.running).toBe(0);
  });
});
