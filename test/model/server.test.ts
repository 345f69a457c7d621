/** The server's answers in OpenAI's protocol, over the embedded model and without a port. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Body, Served } from './served.js';

let served: Served;
beforeAll(async () => {
  served = await Served.start();
});
afterAll(() => served.stop());

const hello = [{ role: 'user', content: 'Once upon a time' }];
const chat = (body: object) =>
  served.post('/v1/chat/completions', { messages: hello, max_tokens: 8, ...body });
const complete = (body: object) =>
  served.post('/v1/completions', { prompt: 'Once upon a time', max_tokens: 8, ...body });
const story = ', there was a little';

describe('/v1/models and /health', () => {
  it('list what is served, for both protocols', async () => {
    const { status, body } = await served.get('/v1/models');
    expect(status).toBe(200);
    expect(body).toMatchObject({ object: 'list', has_more: false, first_id: 'stories' });
    expect(body.data).toHaveLength(1);
    expect(body.data[0]).toMatchObject({
      id: 'stories',
      object: 'model',
      owned_by: 'kvasir',
      type: 'model',
      loaded: true,
      max_model_len: 4096,
    });
    expect((await served.get('/v1/models/stories')).body).toEqual(body.data[0]);
  });

  it('know no other model', async () => {
    const { status, body } = await served.get('/v1/models/other');
    expect(status).toBe(404);
    expect(body.error).toMatchObject({
      code: 'model_not_found',
      type: 'invalid_request_error',
      param: 'model',
    });
  });

  it('say that the server is there', async () => {
    expect(await served.get('/health')).toMatchObject({ status: 200, body: { status: 'ok', running: 0 } });
  });
});

describe('/v1/completions', () => {
  it('goes on with a text as generate does', async () => {
    const { status, body } = await complete({});
    const expected = await served.model.generate('Once upon a time', { maxTokens: 8 });
    expect(status).toBe(200);
    expect(body).toMatchObject({ object: 'text_completion', model: 'stories' });
    expect(body.id).toMatch(/^cmpl-[0-9a-f]{32}$/);
    expect(body.system_fingerprint).toMatch(/^fp_[0-9a-f]{12}$/);
    expect(body.choices).toEqual([
      { index: 0, text: expected.text, logprobs: null, finish_reason: 'length' },
    ]);
    expect(body.choices[0].text.startsWith(story)).toBe(true);
    expect(body.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 8, total_tokens: 13 });
  });

  it('takes token ids, and several prompts at once', async () => {
    const ids = Array.from(served.model.tokenizer.encode('Once upon a time'));
    const one = await complete({ prompt: ids });
    expect(one.body.choices[0].text.startsWith(story)).toBe(true);
    const many = await complete({ prompt: ['Once upon a time', 'One day'], n: 2 });
    expect(many.body.choices.map(({ index }: Body) => index)).toEqual([0, 1, 2, 3]);
    const texts = many.body.choices.map(({ text }: Body) => text);
    expect(texts[0]).toBe(one.body.choices[0].text);
    // Greedy answers to one prompt are equal; those to the other one differ.
    expect(texts[1]).toBe(texts[0]);
    expect(texts[2]).toBe(texts[3]);
    expect(texts[2]).not.toBe(texts[0]);
    // Each prompt counts once.
    expect(many.body.usage.completion_tokens).toBe(32);
    expect(many.body.usage.prompt_tokens).toBe(5 + served.model.tokenizer.encode('One day').length);
  });

  it('says how much of a prompt was in the cache', async () => {
    const prompt = 'Lily and Tom went to the park. They saw a big dog and a small cat. '.repeat(4);
    const first = await complete({ prompt });
    const second = await complete({ prompt });
    expect(first.body.usage.prompt_tokens_details.cached_tokens).toBeLessThan(16);
    expect(second.body.usage.prompt_tokens_details.cached_tokens).toBe(second.body.usage.prompt_tokens - 1);
  });

  it('ends at a stop string, which is no part of the text', async () => {
    for (const stop of ['little', ['nothing', 'little']]) {
      const { body } = await complete({ stop, max_tokens: 100 });
      expect(body.choices[0]).toMatchObject({ text: ', there was a ', finish_reason: 'stop' });
    }
  });

  it('the same seed gives the same texts, which differ among each other', async () => {
    const sample = async (seed: number) => {
      const { body } = await complete({ temperature: 1, seed, n: 3, max_tokens: 20 });
      return body.choices.map(({ text }: Body) => text);
    };
    const [one, again, other] = [await sample(7), await sample(7), await sample(1000)];
    expect(again).toEqual(one);
    expect(new Set(one).size).toBe(3);
    expect(other).not.toEqual(one);
  });

  it('echoes the prompt', async () => {
    const { body } = await complete({ echo: true });
    expect(body.choices[0].text.startsWith(`Once upon a time${story}`)).toBe(true);
    const events = await served.stream('/v1/completions', { prompt: 'One day', echo: true, max_tokens: 3 });
    const text = events.map(({ data }) => data.choices?.[0]?.text ?? '').join('');
    expect(text.startsWith('One day')).toBe(true);
    expect(text.indexOf('One day', 1)).toBe(-1);
  });

  it('log-probabilities lie beside the tokens they belong to', async () => {
    const { body } = await complete({ logprobs: 3 });
    const [{ logprobs, text }] = body.choices;
    expect(logprobs.tokens.join('')).toBe(text);
    for (const [i, token] of logprobs.tokens.entries()) {
      expect(text.slice(logprobs.text_offset[i]).startsWith(token)).toBe(true);
      expect(Object.keys(logprobs.top_logprobs[i])).toHaveLength(3);
      // Greedy: the token is the most probable one.
      expect(logprobs.token_logprobs[i]).toBe(
        Math.max(...(Object.values(logprobs.top_logprobs[i]) as number[])),
      );
    }
  });

  it('a bias keeps a token out', async () => {
    const banned = served.model.tokenizer.encode(' little', { addSpecialTokens: false });
    const { body } = await complete({ logit_bias: Object.fromEntries([...banned].map((id) => [id, -100])) });
    expect(body.choices[0].text).not.toContain('little');
  });

  it('streams the same text, piece by piece', async () => {
    const events = await served.stream('/v1/completions', {
      prompt: 'Once upon a time',
      max_tokens: 8,
      logprobs: 1,
      stream_options: { include_usage: true },
    });
    const whole = await complete({ logprobs: 1 });
    expect(events.at(-1)!.data).toBe('[DONE]');
    const usage = events.at(-2)!.data;
    expect(usage).toMatchObject({ choices: [], usage: { completion_tokens: 8, prompt_tokens: 5 } });
    const chunks = events.slice(0, -2).map(({ data }) => data);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.every((chunk) => chunk.usage === null)).toBe(true);
    const choices = chunks.map(({ choices }) => choices[0]);
    expect(choices.map(({ text }) => text).join('')).toBe(whole.body.choices[0].text);
    expect(choices.map(({ finish_reason }) => finish_reason).filter(Boolean)).toEqual(['length']);
    expect(choices.flatMap(({ logprobs }) => logprobs?.text_offset ?? [])).toEqual(
      whole.body.choices[0].logprobs.text_offset,
    );
    expect(chunks.length).toBeGreaterThan(4);
  });

  it('a gap is filled only by models with tokens for it', async () => {
    expect(await complete({ suffix: ' the end' })).toMatchObject({
      status: 400,
      body: { error: { param: 'suffix', code: 'unsupported_by_model' } },
    });
  });
});

describe('/v1/chat/completions', () => {
  it('answers', async () => {
    const { status, body } = await chat({});
    expect(status).toBe(200);
    expect(body).toMatchObject({ object: 'chat.completion', model: 'stories' });
    expect(body.id).toMatch(/^chatcmpl-/);
    const expected = await served.model.generate(hello, { maxTokens: 8 });
    expect(body.choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: expected.text, refusal: null },
        logprobs: null,
        finish_reason: 'length',
      },
    ]);
    expect(body.usage.prompt_tokens).toBe(expected.usage.promptTokens);
  });

  it('parts of text are one text, developers are the system', async () => {
    const parts = await chat({
      messages: [
        { role: 'developer', content: 'Tell.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Once' },
            { type: 'text', text: 'upon' },
          ],
        },
      ],
    });
    const plain = await chat({
      messages: [
        { role: 'system', content: 'Tell.' },
        { role: 'user', content: 'Once\nupon' },
      ],
    });
    expect(parts.body.choices).toEqual(plain.body.choices);
    expect(parts.body.usage.prompt_tokens).toBe(plain.body.usage.prompt_tokens);
  });

  it('streams: role first, then text, then why it ended, then figures', async () => {
    const events = await served.stream('/v1/chat/completions', {
      messages: hello,
      max_completion_tokens: 8,
      n: 2,
      stream_options: { include_usage: true },
    });
    const whole = await chat({});
    expect(events.at(-1)!.data).toBe('[DONE]');
    expect(events.at(-2)!.data).toMatchObject({ choices: [], usage: { completion_tokens: 16 } });
    const choices = events.slice(0, -2).map(({ data }) => data.choices[0]);
    for (const index of [0, 1]) {
      const own = choices.filter((choice) => choice.index === index);
      expect(own[0].delta).toEqual({ role: 'assistant', content: '' });
      expect(own.slice(1).some(({ delta }) => 'role' in delta)).toBe(false);
      expect(own.map(({ delta }) => delta.content ?? '').join('')).toBe(
        whole.body.choices[0].message.content,
      );
      expect(own.at(-1)).toMatchObject({ delta: {}, finish_reason: 'length' });
      expect(own.slice(0, -1).every(({ finish_reason }) => finish_reason === null)).toBe(true);
    }
  });

  it('log-probabilities spell the answer, in bytes too', async () => {
    const { body } = await chat({ logprobs: true, top_logprobs: 4 });
    const [{ logprobs, message }] = body.choices;
    expect(logprobs.content.map(({ token }: Body) => token).join('')).toBe(message.content);
    const bytes = logprobs.content.flatMap((one: Body) => one.bytes);
    expect(Buffer.from(bytes).toString()).toContain(message.content.trim());
    for (const one of logprobs.content) {
      expect(one.logprob).toBeLessThanOrEqual(0);
      expect(one.top_logprobs).toHaveLength(4);
      expect(one.top_logprobs[0]).toEqual({ token: one.token, logprob: one.logprob, bytes: one.bytes });
    }
    const streamed = await served.stream('/v1/chat/completions', {
      messages: hello,
      max_tokens: 8,
      logprobs: true,
      top_logprobs: 4,
    });
    const pieces = streamed.flatMap(({ data }) => data.choices?.[0]?.logprobs?.content ?? []);
    expect(pieces).toEqual(logprobs.content);
  });

  it('a prompt beyond the context is refused before a stream begins', async () => {
    const messages = [{ role: 'user', content: 'Once upon a time. '.repeat(4000) }];
    for (const stream of [false, true]) {
      const { status, body } = await chat({ messages, stream });
      expect(status).toBe(400);
      expect(body.error).toMatchObject({ code: 'context_length_exceeded', type: 'invalid_request_error' });
    }
  });
});

describe('/v1/embeddings', () => {
  it('gives the vectors of embed, as numbers and as base64', async () => {
    const input = ['a dog', 'a cat'];
    const expected = await served.model.embed(input);
    const { status, body } = await served.post('/v1/embeddings', { input });
    expect(status).toBe(200);
    expect(body.data.map(({ embedding }: Body) => embedding)).toEqual(expected.map((one) => Array.from(one)));
    expect(body.usage).toEqual({ prompt_tokens: expected.tokens, total_tokens: expected.tokens });
    const { body: coded } = await served.post('/v1/embeddings', { input, encoding_format: 'base64' });
    for (const [i, { embedding, index }] of coded.data.entries()) {
      const bytes = Buffer.from(embedding, 'base64');
      expect(new Float32Array(Uint8Array.from(bytes).buffer)).toEqual(expected[i]);
      expect(index).toBe(i);
    }
    const { body: short } = await served.post('/v1/embeddings', { input: 'a dog', dimensions: 4 });
    expect(short.data[0].embedding).toHaveLength(4);
  });

  it.each([
    [{ input: [1, 2] }, 'input'],
    [{ input: [] }, 'input'],
    [{ input: 'a', dimensions: 10_000 }, 'dimensions'],
    [{ input: 'a', encoding_format: 'int8' }, 'encoding_format'],
  ])('refuses %j', async (body, param) => {
    expect(await served.post('/v1/embeddings', body)).toMatchObject({
      status: 400,
      body: { error: { param } },
    });
  });
});

describe('figures', () => {
  it('/metrics has them under the names of vLLM', async () => {
    await served.get('/v1/other');
    const { status, headers, body } = await served.get('/metrics');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/plain');
    for (const name of [
      'num_requests_running',
      'num_requests_waiting',
      'prompt_tokens_total',
      'generation_tokens_total',
      'request_success_total',
      'time_to_first_token_seconds_bucket',
      'e2e_request_latency_seconds_count',
      'prefix_cache_hits_total',
    ]) {
      expect(body).toMatch(new RegExp(`^kvasir:${name}(\\{.*\\})? [\\d.e+-]+$`, 'm'));
    }
    // Paths that clients invent make no series.
    expect(body).not.toContain('/v1/other');
  });
});
