/** Several answers to one prompt, the formats that llama.cpp and vLLM name themselves, and prompts of both kinds at once. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chatRoute } from '../../lib/server/openai/chat.js';
import { type Asked, callOf, json, stream } from '../unit/scripted-call.js';
import { type Body, Served } from './served.js';

let served: Served;
beforeAll(async () => {
  served = await Served.start();
});
afterAll(() => served.stop());

const messages = [{ role: 'user', content: 'Once upon a time' }];
const prompt = 'Once upon a time';
const drawn = { temperature: 1, seed: 5, max_tokens: 12 };
const textsOf = ({ choices }: Body): string[] => choices.map((one: Body) => one.text ?? one.message.content);

describe('n answers', () => {
  it.each([
    ['/v1/chat/completions', { messages }],
    ['/v1/completions', { prompt }],
  ])('%s: each is that of its seed, whole and streamed', async (path, given) => {
    const body = { ...given, ...drawn, n: 3 };
    const { body: whole } = await served.post(path, body);
    const alone = await Promise.all([5, 6, 7].map((seed) => served.post(path, { ...given, ...drawn, seed })));
    expect(textsOf(whole)).toEqual(alone.map((reply) => textsOf(reply.body)[0]));
    expect(new Set(textsOf(whole)).size).toBe(3);
    expect(whole.choices.map(({ index }: Body) => index)).toEqual([0, 1, 2]);
    expect(whole.usage.completion_tokens).toBe(36);
    expect(whole.usage.prompt_tokens).toBe(alone[0]!.body.usage.prompt_tokens);
    const events = await served.stream(path, body);
    const streamed = ['', '', ''];
    for (const { data } of events) {
      const choice = data.choices?.[0];
      if (choice) streamed[choice.index] += choice.text ?? choice.delta.content ?? '';
    }
    expect(streamed).toEqual(textsOf(whole));
  });

  it('have log-probabilities each', async () => {
    const { body } = await served.post('/v1/completions', { prompt, ...drawn, n: 3, logprobs: 2 });
    for (const { text, logprobs } of body.choices) {
      expect(logprobs.tokens).toHaveLength(12);
      expect(logprobs.tokens.join('')).toContain(text.trim());
    }
  });

  it('are one run of the engine where they are drawn, and are not streamed', async () => {
    const ask = async (change: object): Promise<unknown> => {
      const asked: Asked = {};
      await json(chatRoute, { messages, n: 2, ...change }, callOf(asked));
      return asked.options!.n;
    };
    expect(await ask({ temperature: 1 })).toBe(2);
    expect(await ask({})).toBeUndefined();
    expect(await ask({ temperature: 1, response_format: { type: 'json_object' } })).toBeUndefined();
    const asked: Asked = {};
    await stream(chatRoute, { messages, n: 2, temperature: 1 }, callOf(asked));
    expect(asked.options!.n).toBeUndefined();
  });

  it('of more that are drawn the best ones come', async () => {
    const best = await served.post('/v1/completions', { prompt, ...drawn, best_of: 4 });
    const own = await served.model.generate(prompt, {
      temperature: 1,
      seed: 5,
      maxTokens: 12,
      n: 1,
      bestOf: 4,
    });
    expect(textsOf(best.body)).toEqual([own.text]);
    expect(best.body.usage.completion_tokens).toBe(48);
    const refused = async (change: object) =>
      (await served.post('/v1/completions', { prompt, ...drawn, ...change })).body.error.param;
    expect(await refused({ n: 2, best_of: 1 })).toBe('best_of');
    expect(await refused({ best_of: 2, stream: true })).toBe('best_of');
    expect(await refused({ best_of: 128 })).toBe('n');
  });
});

describe('formats by other names', () => {
  const schema = {
    type: 'object',
    properties: { a: { enum: ['x', 'y'] } },
    required: ['a'],
    additionalProperties: false,
  };

  it.each([
    ['/v1/chat/completions', { messages }],
    ['/v1/completions', { prompt }],
  ])('%s obeys grammar and json_schema', async (path, given) => {
    const grammar = await served.post(path, { ...given, max_tokens: 20, grammar: 'root ::= "a"{5} "b"?' });
    expect(textsOf(grammar.body)[0]).toMatch(/^a{5}b?$/);
    const json = await served.post(path, { ...given, max_tokens: 20, json_schema: schema });
    expect(['x', 'y']).toContain(JSON.parse(textsOf(json.body)[0]!).a);
    const wrong = await served.post(path, { ...given, grammar: 'root ::= (' });
    expect(wrong.status).toBe(400);
    const both = await served.post(path, { ...given, grammar: 'root ::= "a"', json_schema: schema });
    expect(both).toMatchObject({ status: 400, body: { error: { param: 'grammar' } } });
  });

  it('a json_object may have a schema, and a json_schema no name', async () => {
    for (const response_format of [
      { type: 'json_object', schema },
      { type: 'json_schema', json_schema: { schema } },
    ]) {
      const { body } = await served.post('/v1/chat/completions', {
        messages,
        max_tokens: 20,
        response_format,
      });
      expect(['x', 'y']).toContain(JSON.parse(textsOf(body)[0]!).a);
    }
  });

  it('a response tells the format that it obeys', async () => {
    const format = { type: 'json_schema', name: 'a', schema };
    const { body } = await served.post('/v1/responses', {
      input: 'Hi',
      max_output_tokens: 20,
      text: { format },
    });
    expect(body.text).toEqual({ format });
  });
});

it('prompts may be texts and token ids at once', async () => {
  const ids = Array.from(served.model.tokenizer.encode(prompt));
  const { body } = await served.post('/v1/completions', { prompt: [ids, prompt], max_tokens: 6 });
  const [first, second] = textsOf(body);
  expect(first).toBe(second);
});

it("answers of Anthropic's protocol have its own header of the request's id", async () => {
  const { headers } = await served.post('/v1/messages', { messages, max_tokens: 2 });
  expect(headers.get('request-id')).toBe(headers.get('x-request-id'));
  const wrong = await served.post('/v1/messages', { messages });
  expect(wrong.headers.get('request-id')).toBe(wrong.body.request_id);
  expect((await served.get('/v1/models')).headers.get('request-id')).toBeNull();
});
