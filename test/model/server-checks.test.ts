/** What clients of other servers rely on: the cache, requests side by side, ends of answers, biases, embeddings, figures. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Body, Served } from './served.js';

let served: Served;
beforeAll(async () => {
  served = await Served.start();
});
afterAll(() => served.stop());

const story =
  'Once upon a time, there was a little girl named Lily. She liked to play with her dog in the park.';
const user = (content: string) => [{ role: 'user', content }];
const textOf = ({ body }: { body: Body }): string => body.choices[0].text ?? body.choices[0].message.content;

describe('a chat that goes on', () => {
  it('finds in the cache what it has in common with the one before, and nothing else', async () => {
    const ask = async (content: string) => {
      const body = { messages: [{ role: 'system', content: 'Tell.' }, ...user(content)] };
      const { usage } = (await served.post('/v1/chat/completions', { ...body, max_tokens: 4 })).body;
      const { tokens } = (await served.post('/tokenize', body)).body as { tokens: number[] };
      expect(usage.prompt_tokens).toBe(tokens.length);
      return { cached: usage.prompt_tokens_details.cached_tokens as number, tokens };
    };
    const first = await ask(story);
    expect(first.cached).toBeLessThan(16);
    expect((await ask(story)).cached).toBe(first.tokens.length - 1);
    const other = await ask(story.replace('park', 'forest'));
    const common = other.tokens.findIndex((id, i) => id !== first.tokens[i]);
    expect(common).toBeGreaterThan(20);
    expect(other.cached).toBe(common);
  });
});

describe('requests side by side', () => {
  const prompts = ['Write a book.', 'The sky is blue.', 'One day', 'Tom has a cat', 'Lily ran', 'Mom said'];
  const drawn = (i: number) => ({ prompt: prompts[i], temperature: 1, seed: i, max_tokens: 24 });

  it('answer as they do alone, however few run at a time', async () => {
    const alone: string[] = [];
    for (const i of prompts.keys()) alone.push(textOf(await served.post('/v1/completions', drawn(i))));
    expect(new Set(alone).size).toBe(prompts.length);
    for (const concurrent of [1, 2, 64]) {
      const few = await Served.start({ limits: { concurrent } });
      const replies = await Promise.all(prompts.map((_, i) => few.post('/v1/completions', drawn(i))));
      expect(replies.map(textOf)).toEqual(alone);
      await few.stop();
    }
  });

  it('all get their tokens where the cache has no room for all of them at once', async () => {
    const small = await Served.start({}, { contextLength: 128, kvCapacity: 160 });
    const lengths = [80, 100, 40, 90, 75];
    const replies = await Promise.all(
      lengths.map((max_tokens) =>
        small.post('/v1/completions', { prompt: 'A', max_tokens, ignore_eos: true }),
      ),
    );
    expect(replies.map(({ body }) => body.usage.completion_tokens)).toEqual(lengths);
    const alone = await small.post('/v1/completions', { prompt: 'A', max_tokens: 100, ignore_eos: true });
    for (const reply of replies) expect(textOf(alone).startsWith(textOf(reply))).toBe(true);
    await small.stop();
  });
});

describe('an answer', () => {
  it('without a number of tokens, or with too large a one, ends with the context', async () => {
    const short = await Served.start({}, { contextLength: 64 });
    for (const max_tokens of [undefined, 60, 100_000]) {
      const { body } = await short.post('/v1/chat/completions', {
        messages: user('Hi how are you'),
        max_tokens,
        ignore_eos: true,
      });
      expect(body.choices[0].finish_reason).toBe('length');
      // The last token is never computed, so it needs no place.
      expect(body.usage.total_tokens).toBe(65);
    }
    const events = await short.stream('/v1/completions', {
      prompt: 'Once',
      max_tokens: 256,
      ignore_eos: true,
    });
    const ends = events.map(({ data }) => data.choices?.[0]?.finish_reason).filter(Boolean);
    expect(ends).toEqual(['length']);
    const long = await short.post('/v1/completions', { prompt: story.repeat(8) });
    expect(long).toMatchObject({ status: 400, body: { error: { code: 'context_length_exceeded' } } });
    await short.stop();
  });

  it('goes on behind the end of its text where that is to be ignored', async () => {
    const body = { prompt: 'Once upon a time', max_tokens: 1000 };
    const ended = await served.post('/v1/completions', body);
    expect(ended.body.choices[0].finish_reason).toBe('stop');
    const { completion_tokens: length } = ended.body.usage;
    expect(length).toBeLessThan(1000);
    const on = await served.post('/v1/completions', { ...body, max_tokens: length + 20, ignore_eos: true });
    expect(on.body.choices[0].finish_reason).toBe('length');
    expect(on.body.usage.completion_tokens).toBe(length + 20);
    expect(textOf(on).startsWith(textOf(ended))).toBe(true);
  });

  it('has none of many tokens that a bias keeps out', async () => {
    const words =
      'a the was She he and to her it is in day big little girl dog named Lily there an play with';
    const tokenize = async (content: string) =>
      (await served.post('/tokenize', { content })).body.tokens as number[];
    const banned = [...(await tokenize(` ${words} `)), ...(await tokenize(words))];
    const ask = async (logit_bias: Record<string, number>) => {
      const messages = user('Once upon a time');
      const { body } = await served.post('/v1/chat/completions', {
        messages,
        max_tokens: 64,
        logit_bias,
        logprobs: true,
      });
      return new Set<string>(body.choices[0].logprobs.content.map(({ token }: Body) => token));
    };
    const texts = new Set(banned.map((id) => served.model.tokenizer.tokenText(id)));
    const overlap = async (bias: Record<string, number>) =>
      [...(await ask(bias))].filter((token) => texts.has(token));
    expect((await overlap({})).length).toBeGreaterThan(0);
    expect(await overlap(Object.fromEntries(banned.map((id) => [id, -100])))).toEqual([]);
  });

  it('in pieces has one id, model and fingerprint', async () => {
    const events = await served.stream('/v1/chat/completions', { messages: user('Once'), max_tokens: 6 });
    const chunks = events.slice(0, -1).map(({ data }) => data);
    for (const field of ['id', 'model', 'system_fingerprint', 'created', 'object']) {
      expect(new Set(chunks.map((chunk) => chunk[field])).size).toBe(1);
    }
    expect(chunks[0]).toMatchObject({ object: 'chat.completion.chunk', model: 'stories' });
    expect(chunks[0]).not.toHaveProperty('usage');
  });

  it.each([
    { type: 'json_object', schema: 123 },
    { type: 'json_object', schema: { type: 123 } },
    { type: 'json_object', schema: { type: 'hiccup' } },
    { type: 'json_schema', json_schema: { schema: { type: 'object', properties: 5 } } },
  ])('is refused in a format that is none: %j', async (response_format) => {
    const body = { messages: user('Write'), max_tokens: 4, response_format };
    const reply = await served.post('/v1/chat/completions', body);
    expect(reply).toMatchObject({ status: 400, body: { error: { type: 'invalid_request_error' } } });
  });
});

describe('embeddings', () => {
  const embed = (input: unknown) => served.post('/v1/embeddings', { input });

  it('are unit vectors, the same for the same text, and count all tokens', async () => {
    const one = await embed(story);
    const [{ embedding }] = one.body.data;
    expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
    const many = await embed([story, story, 'a dog', story]);
    expect(many.body.data.map(({ index }: Body) => index)).toEqual([0, 1, 2, 3]);
    for (const i of [0, 1, 3]) expect(many.body.data[i].embedding).toEqual(embedding);
    expect(many.body.data[2].embedding).not.toEqual(embedding);
    const tokens = one.body.usage.prompt_tokens;
    const other = (await embed('a dog')).body.usage.prompt_tokens;
    expect(many.body.usage).toEqual({ prompt_tokens: 3 * tokens + other, total_tokens: 3 * tokens + other });
  });

  it('of texts that have no end are refused, and the server lives', async () => {
    expect(await embed('This is a test '.repeat(4000))).toMatchObject({
      status: 400,
      body: { error: { code: 'context_length_exceeded' } },
    });
    expect((await embed('')).status).toBe(200);
    expect((await embed('a dog')).status).toBe(200);
  });
});

describe('tokens', () => {
  it('of every script go there and back, each with its piece', async () => {
    const content = 'A test of 媽, emoji 🤗 and \u{10ffff}';
    const { body } = await served.post('/tokenize', { content, with_pieces: true });
    for (const { id, piece } of body.tokens) {
      expect(id).toBeGreaterThan(0);
      expect(piece).not.toBe('');
    }
    const back = await served.post('/detokenize', { tokens: body.tokens.map(({ id }: Body) => id) });
    expect(back.body.content.trim()).toBe(content);
  });
});

describe('figures', () => {
  it('are the sums of what the answers said', async () => {
    const fresh = await Served.start();
    const sum = { prompt: 0, cached: 0, generated: 0 };
    for (const max_tokens of [1, 4, 16]) {
      const { usage } = (await fresh.post('/v1/completions', { prompt: story, max_tokens })).body;
      sum.prompt += usage.prompt_tokens;
      sum.cached += usage.prompt_tokens_details.cached_tokens;
      sum.generated += usage.completion_tokens;
    }
    const embedded = (await fresh.post('/v1/embeddings', { input: ['a dog', 'a cat'] })).body.usage;
    await fresh.post('/v1/completions', { prompt: 5 });
    const { body: text } = await fresh.get('/metrics');
    const value = (name: string) =>
      Number(new RegExp(`^kvasir:${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)![1]);
    expect(sum.cached).toBeGreaterThan(0);
    expect(value('prompt_tokens_total')).toBe(sum.prompt + embedded.prompt_tokens);
    expect(value('prefix_cache_hits_total')).toBe(sum.cached);
    expect(value('prefix_cache_queries_total')).toBe(sum.prompt);
    expect(value('generation_tokens_total')).toBe(sum.generated);
    expect(value('num_requests_running')).toBe(0);
    expect(value('request_generation_tokens_count')).toBe(3);
    const names = new Set(
      [...text.matchAll(/^(kvasir:\w+?)(?:_bucket|_sum|_count)?(?:\{| )/gm)].map(([, name]) => name),
    );
    for (const name of names) {
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, 'm'));
      expect(text).toMatch(new RegExp(`^# TYPE ${name} (counter|gauge|histogram)$`, 'm'));
    }
    await fresh.stop();
  });
});
