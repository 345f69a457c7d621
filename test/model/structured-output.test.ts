/** `responseFormat` in generate and sessions, on the embedded model: with sampling, logprobs, batches, prefixes, stops. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/model.js';
import type { GenerateOptions } from '../../lib/options.js';

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    tags: { type: 'array', items: { enum: ['red', 'green', 'blue'] }, maxItems: 4 },
  },
  required: ['name', 'age'],
  additionalProperties: false,
};
const json = { type: 'json', schema } as const;
const prompt = 'Once upon a time';

let model: Model;
beforeAll(async () => {
  model = await Model.load('models/stories-260k', { contextLength: 512, threads: 1 });
});
afterAll(() => model.dispose());

function check(object: unknown): void {
  const { name, age, tags = [], ...others } = object as { name: string; age: number; tags?: string[] };
  expect(typeof name).toBe('string');
  expect(Number.isInteger(age) && age >= 0 && age <= 150).toBe(true);
  expect(tags.length <= 4 && tags.every((tag) => ['red', 'green', 'blue'].includes(tag))).toBe(true);
  expect(others).toEqual({});
}

describe('structured output', () => {
  it.each<GenerateOptions>([{ badWords: ['a'] }, { noRepeatNgram: 2 }, { minTokens: 3 }])(
    'is refused beside %j',
    async (options) => {
      await expect(model.generate(prompt, { responseFormat: json, ...options })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining(`${Object.keys(options)[0]} does not go with responseFormat`),
      });
    },
  );

  it.each<[string, GenerateOptions]>([
    ['greedily', {}],
    ['at a high temperature', { temperature: 1.5, seed: 1 }],
    ['with top-k', { temperature: 1.2, topK: 5, seed: 2 }],
    ['with top-p and min-p', { temperature: 1.2, topP: 0.7, minP: 0.05, seed: 3 }],
    ['with typical-p', { temperature: 1.5, typicalP: 0.6, seed: 4 }],
    [
      'with penalties',
      { temperature: 1, repetitionPenalty: 1.3, presencePenalty: 1, frequencyPenalty: 0.5, seed: 5 },
    ],
    ['with a bias against its own tokens', { logitBias: { 5: -100, 6: 100 }, temperature: 0.8, seed: 6 }],
    [
      'with DRY, XTC and top-n-sigma',
      { dryMultiplier: 0.8, xtcProbability: 0.5, topNSigma: 1.5, temperature: 1, seed: 8 },
    ],
    ['with mirostat', { mirostat: 2, seed: 9 }],
    ['past end tokens', { ignoreEos: true, temperature: 1, seed: 7 }],
  ])('is enforced %s', async (_, options) => {
    for (const maxTokens of [20, 60, 300]) {
      const result = await model.generate(prompt, { responseFormat: json, maxTokens, ...options });
      check(result.object);
      expect(JSON.parse(result.text)).toEqual(result.object);
      expect(result.finishReason).toBe('stop');
      expect(result.tokens.length).toBeLessThanOrEqual(maxTokens);
    }
  });

  it('is enforced in each of several texts and beams', async () => {
    for (const options of [
      { n: 3, temperature: 1.5, seed: 3 },
      { n: 2, bestOf: 4, temperature: 1.5 },
      { beams: 3, n: 2 },
    ]) {
      const { choices = [], object } = await model.generate(prompt, {
        responseFormat: json,
        maxTokens: 60,
        ...options,
      });
      expect(choices).toHaveLength(options.n);
      for (const choice of choices) {
        check(choice.object);
        expect(JSON.parse(choice.text)).toEqual(choice.object);
        expect(typeof choice.closed).toBe('boolean');
      }
      expect(object).toEqual(choices[0].object);
    }
    // Of beams the best score is no worse than that of the greedy text, which the structure led.
    const format = { type: 'choice', choices: ['once more', 'one day', 'no', 'zebra'] } as const;
    const { choices = [] } = await model.generate(prompt, { responseFormat: format, beams: 4, n: 4 });
    // The same text may be spelled by other tokens.
    expect(choices).toHaveLength(4);
    for (const { object } of choices) expect(format.choices).toContain(object);
    const scores = choices.map(({ score }) => score!);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
  });

  it('is enforced behind the functions of the caller', async () => {
    let calls = 0;
    const processLogits = (logits: Float32Array) => {
      calls++;
      logits.fill(0);
    };
    check((await model.generate(prompt, { responseFormat: json, processLogits, maxTokens: 40 })).object);
    expect(calls).toBeGreaterThan(5);
    const none = (logits: Float32Array) => {
      logits.fill(Number.NEGATIVE_INFINITY);
      logits[3] = 0;
    };
    await expect(model.generate(prompt, { responseFormat: json, processLogits: none })).rejects.toMatchObject(
      { code: 'INVALID_OPTION', message: expect.stringContaining('processLogits') },
    );
    const quiet = await model.generate(prompt, { responseFormat: json, guard: (text) => text.toUpperCase() });
    expect(quiet.text).toContain('"NAME"');
    expect('object' in quiet).toBe(false);
    const seen = await model.generate(prompt, { responseFormat: json, guard: (text) => text });
    check(seen.object);
  });

  it('closes what is open before its tokens end, and says so', async () => {
    const format = {
      type: 'json',
      schema: {
        type: 'array',
        items: { type: 'array', items: { type: 'string', minLength: 3 } },
        minItems: 1,
      },
    } as const;
    let closed = 0;
    for (let maxTokens = 4; maxTokens < 30; maxTokens++) {
      const result = await model.generate(prompt, {
        responseFormat: format,
        maxTokens,
        temperature: 1.5,
        seed: maxTokens,
      });
      expect(Array.isArray(result.object)).toBe(true);
      expect(JSON.parse(result.text)).toEqual(result.object);
      if (result.closed) closed++;
    }
    expect(closed).toBeGreaterThan(5);
    const short = await model.generate(prompt, { responseFormat: { type: 'choice', choices: ['yes'] } });
    expect(short).toMatchObject({ object: 'yes', closed: false, finishReason: 'stop' });
  });

  it('refuses a number of tokens that is too small, with the one that is needed', async () => {
    const error = await model.generate(prompt, { responseFormat: json, maxTokens: 5 }).catch((e) => e);
    expect(error).toMatchObject({ code: 'INVALID_OPTION', details: { option: 'maxTokens', given: 5 } });
    const { required } = error.details;
    check(
      (await model.generate(prompt, { responseFormat: json, maxTokens: required, temperature: 2 })).object,
    );
    await expect(model.generate(prompt, { responseFormat: json, maxTokens: required - 1 })).rejects.toThrow(
      `takes ${required}`,
    );
  });

  it('gives choices, expressions and grammars', async () => {
    const seeds = Array.from({ length: 12 }, (_, seed) => ({ temperature: 2, seed }));
    const choices = ['yes', 'yes, please', 'no'];
    const chosen = await Promise.all(
      seeds.map((o) => model.generate(prompt, { responseFormat: { type: 'choice', choices }, ...o })),
    );
    for (const { object, text } of chosen) expect(choices.includes(text) && object === text).toBe(true);
    expect(new Set(chosen.map(({ text }) => text)).size).toBeGreaterThan(1);
    const dated = await model.generate(prompt, {
      responseFormat: { type: 'regex', pattern: '\\d{4}-(0[1-9]|1[0-2])' },
      ...seeds[0],
    });
    expect(dated.text).toMatch(/^\d{4}-(0[1-9]|1[0-2])$/);
    expect('object' in dated).toBe(false);
    const grammar = 'root ::= ("- " [a-z ]+ "\\n"){2,3}';
    const listed = await model.generate(prompt, {
      responseFormat: { type: 'grammar', grammar },
      maxTokens: 40,
      ...seeds[0],
    });
    expect(listed.text).toMatch(/^(- [a-z ]+\n){2,3}$/);
  });

  it('gives the same alone, in a batch, streamed and from a kept prefix', async () => {
    const long = 'Once upon a time there was a little girl. '.repeat(12);
    const requests = Array.from({ length: 6 }, (_, seed) => ({
      responseFormat: json,
      temperature: 1.2,
      seed,
      maxTokens: 80,
    }));
    const alone = [];
    for (const options of requests) alone.push((await model.generate(long, options)).text);
    const free = model.generate(prompt, { maxTokens: 60 });
    const together = await Promise.all(requests.map((options) => model.generate(long, options)));
    expect(together.map(({ text }) => text)).toEqual(alone);
    expect(together[5].usage.cachedTokens).toBeGreaterThan(0);
    expect((await free).text).toBe((await model.generate(prompt, { maxTokens: 60 })).text);
    let streamed = '';
    for await (const { text } of model.generate(long, requests[0])) streamed += text;
    expect(streamed).toBe(alone[0]);
  });

  it('reports log-probabilities of the model for what it had to take', async () => {
    const options = { responseFormat: { type: 'choice', choices: ['zebra'] }, logprobs: 3 } as const;
    const { logprobs = [], tokens } = await model.generate(prompt, options);
    expect(logprobs.map(({ id }) => id)).toEqual(tokens);
    const free = await model.generate(prompt, { logprobs: 3, maxTokens: 1 });
    expect(logprobs[0].top).toEqual(free.logprobs?.[0].top);
    for (const { logprob, top } of logprobs) {
      expect(logprob).toBeLessThan(0);
      expect(logprob).toBeLessThanOrEqual(top[0].logprob);
    }
  });

  it('ends at stop strings and aborts without a value', async () => {
    const stopped = await model.generate(prompt, { responseFormat: json, stop: '"age' });
    expect(stopped).toMatchObject({ finishReason: 'stop' });
    expect('object' in stopped).toBe(false);
    const aborted = await model.generate(prompt, { responseFormat: json, signal: AbortSignal.abort() });
    expect(aborted).toMatchObject({ finishReason: 'abort', text: '' });
  });

  it.each([
    [{ type: 'xml' }, 'responseFormat.type'],
    [{ type: 'regex' }, 'responseFormat.pattern'],
    [{ type: 'choice', choices: [] }, 'Option choices'],
    [{ type: 'choice', choices: ['a', ''] }, 'Option choices'],
    [{ type: 'json', schema: 3 }, 'schema'],
    [{ type: 'json', schema: {}, strict: true }, 'strict'],
    ['json', 'responseFormat'],
    [{ type: 'json', schema: { '~standard': { vendor: 'own', version: 1 } } }, 'brings no conversion'],
    [{ type: 'json', schema: { properties: { a: { multipleOf: 0.1 } } } }, '#/properties/a/multipleOf'],
  ])('refuses %j', async (responseFormat, part) => {
    await expect(model.generate(prompt, { responseFormat: responseFormat as never })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(part),
    });
  });

  it('takes schemas of other libraries by their conversion, read once', async () => {
    const converted = {
      type: 'object',
      properties: { n: { type: 'integer' } },
      required: ['n'],
      additionalProperties: false,
    };
    const standard = { '~standard': { version: 1, vendor: 'own', jsonSchema: { output: () => converted } } };
    const method = { '~standard': { version: 1, vendor: 'zod' }, toJSONSchema: () => converted };
    for (const given of [standard, method]) {
      const { object } = await model.generate(prompt, {
        responseFormat: { type: 'json', schema: given },
        maxTokens: 30,
      });
      expect(Object.keys(object as object)).toEqual(['n']);
    }
  });
});
