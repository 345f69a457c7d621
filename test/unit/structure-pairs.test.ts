/**
 * Every two of structure, tools, thoughts, stop strings, log-probabilities, several texts, hooks, samplers, drafts, adapters,
 * batching and prefix reuse over a model that writes at random: both hold, or the pair is refused by name.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GenerationResult } from '../../lib/engine/run.js';
import type { GenerateOptions } from '../../lib/options.js';
import { isNightly } from '../nightly.js';
import { chatTemplate } from './chat-tokenizer.js';
import { type RandomModel, randomModel } from './random-model.js';

const special = ['<end>', '<turn>', '<think>', '</think>'];
const schema = {
  type: 'object',
  properties: { n: { type: 'integer', minimum: 0, maximum: 99 }, of: { enum: ['cat', 'dog'] } },
  required: ['n', 'of'],
  additionalProperties: false,
};
const tools = [
  {
    name: 'add',
    parameters: {
      type: 'object',
      properties: { a: { type: 'integer', maximum: 9, minimum: 0 }, b: { type: 'boolean' } },
      required: ['a', 'b'],
      additionalProperties: false,
    },
  },
  { name: 'now', parameters: { type: 'object', properties: {}, additionalProperties: false } },
];

function checkCalls({ toolCalls = [] }: Pick<GenerationResult, 'toolCalls'>): void {
  for (const { name, arguments: given, error } of toolCalls) {
    expect(error).toBeUndefined();
    if (name === 'now') expect(given).toEqual({});
    else
      expect([Object.keys(given), typeof given.a, typeof given.b]).toEqual([['a', 'b'], 'number', 'boolean']);
  }
}

function checkDrafts({ timings: { draftedTokens = -1, acceptedTokens = -1 } }: GenerationResult): void {
  expect(acceptedTokens).toBeGreaterThanOrEqual(0);
  expect(draftedTokens).toBeGreaterThanOrEqual(acceptedTokens);
}

/** The answer is calls, or what `fits` says. */
function answers(fits: (result: GenerationResult) => void) {
  return (result: GenerationResult): void => {
    if ((result.toolCalls ?? []).length === 0 && result.finishReason === 'stop') fits(result);
  };
}

interface Feature {
  options: GenerateOptions;
  check(result: GenerationResult): void;
  /** The template begins thoughts. */
  thinks?: boolean;
  adapter?: number;
}

const nothing = (): void => {};
const sampler = (options: GenerateOptions): Feature => ({ options, check: nothing });
let processed = 0;
let guarded = 0;
/** Stands for `plain`. */
const draft = { info: { vocabSize: 300 } };

/** Of one name only one can be given. */
const features: Record<string, Feature> = {
  json: {
    options: { responseFormat: { type: 'json', schema } },
    check: answers(({ object, text }) => {
      if (object === undefined) return;
      const { n, of, ...others } = object as { n: number; of: string };
      expect([n >= 0 && n <= 99 && Number.isInteger(n), ['cat', 'dog'].includes(of), others]).toEqual([
        true,
        true,
        {},
      ]);
      expect(JSON.parse(text)).toEqual(object);
    }),
  },
  regex: {
    options: { responseFormat: { type: 'regex', pattern: '[a-c]{3,20}=[0-9]{2}' } },
    check: answers(({ text }) => expect(text).toMatch(/^([A-Ca-c]{3,20}=[0-9]{2}|[^9]*)$/)),
  },
  grammar: {
    options: { responseFormat: { type: 'grammar', grammar: 'root ::= ("(" root ")" | "x")' } },
    check: answers(({ text }) => expect(text).toMatch(/^\(*x?\)*$/)),
  },
  choice: {
    options: { responseFormat: { type: 'choice', choices: ['yes', 'no', 'no idea'] } },
    check: answers(({ object }) => expect(['yes', 'no', 'no idea', undefined]).toContain(object)),
  },
  tools: { options: { tools }, check: checkCalls },
  required: {
    options: { tools, toolChoice: 'required' },
    check: (result) => {
      checkCalls(result);
      expect(result.toolCalls?.length).toBeGreaterThan(0);
    },
  },
  one: {
    options: { tools, toolChoice: { name: 'add' } },
    check: (result) => {
      checkCalls(result);
      expect(result.toolCalls?.every(({ name }) => name === 'add')).toBe(true);
    },
  },
  thinking: {
    options: {},
    thinks: true,
    check: ({ reasoning }) => expect(reasoning).toBeDefined(),
  },
  budget: {
    options: { reasoning: { budget: 5 } },
    thinks: true,
    // Some tokens read as their number.
    check: ({ reasoning = '' }) => expect(reasoning.replace(/\[\d{3}\]/g, 'x').length).toBeLessThanOrEqual(5),
  },
  stop: { options: { stop: '9' }, check: ({ text }) => expect(text).not.toContain('9') },
  logprobs: {
    options: { logprobs: 2 },
    check: ({ logprobs, tokens }) => expect(logprobs?.map(({ id }) => id)).toEqual(tokens),
  },
  n: { options: { n: 3 }, check: ({ choices }) => expect(choices).toHaveLength(3) },
  bestOf: {
    options: { n: 2, bestOf: 3 },
    check: ({ choices = [] }) => expect(choices[0].score).toBeGreaterThanOrEqual(choices[1].score!),
  },
  beams: {
    options: { beams: 3, n: 2 },
    check: ({ choices = [] }) => expect(choices[0].score).toBeGreaterThanOrEqual(choices.at(-1)!.score!),
  },
  processLogits: {
    options: {
      processLogits: (logits) => {
        processed++;
        logits[0x7a] = Number.NEGATIVE_INFINITY;
      },
    },
    check: ({ text }) => {
      expect(processed).toBeGreaterThan(0);
      expect(text).not.toContain('z');
    },
  },
  guard: {
    options: {
      guard: (text) => {
        guarded++;
        return text.replaceAll('a', 'A');
      },
    },
    check: ({ text, toolCalls = [], finishReason }) => {
      if (toolCalls.length === 0 && finishReason === 'stop') expect(guarded).toBeGreaterThan(0);
      expect(text).not.toContain('a');
    },
  },
  topK: sampler({ topK: 20 }),
  topP: sampler({ topP: 0.8, minP: 0.01 }),
  typical: sampler({ typicalP: 0.7 }),
  penalties: sampler({ repetitionPenalty: 1.2, presencePenalty: 0.5, frequencyPenalty: 0.5 }),
  bias: sampler({ logitBias: { 97: 5, 123: -100 } }),
  chain: sampler({ dryMultiplier: 0.5, xtcProbability: 0.5, topNSigma: 2 }),
  mirostat: sampler({ mirostat: 2 }),
  greedy: { options: { temperature: 0 }, check: nothing },
  lookup: { options: { speculate: 'prompt' }, check: checkDrafts },
  draft: { options: { speculate: { draft, tokens: 3 } }, check: checkDrafts },
  adapter: { options: {}, adapter: 3, check: nothing },
};

/** What is refused, and the option that the error names. */
const refusals: [RegExp, RegExp, string][] = [
  [/^beams$/, /^(stop|logprobs|processLogits|guard|topK|topP|typical|penalties|bias|chain|mirostat)$/, ''],
  [/^beams$/, /^budget$/, 'beams'],
  [/^beams$/, /^bestOf$/, 'bestOf'],
  [/^(n|bestOf)$/, /^guard$/, 'guard'],
  [/^(n|bestOf)$/, /^greedy$/, 'temperature'],
  [/^mirostat$/, /^greedy$/, 'mirostat'],
  [/^chain$/, /^greedy$/, 'temperature'],
  [/^mirostat$/, /^(topK|topP|typical|chain)$/, ''],
  [/^beams$/, /^(lookup|draft)$/, 'speculate'],
  [/^(n|bestOf)$/, /^draft$/, 'speculate'],
];

const messages = [{ role: 'user', content: 'Hi '.repeat(8) }];
let plain: RandomModel;
let thinking: RandomModel;

beforeAll(async () => {
  plain = await randomModel(chatTemplate, special, draft);
  thinking = await randomModel(
    chatTemplate.replace('<turn>assistant:', '<turn>assistant:<think>\n'),
    special,
  );
});
afterAll(async () => {
  await plain.close();
  await thinking.close();
});

/** Both, where no option of both differs. */
function together(a: GenerateOptions, b: GenerateOptions): GenerateOptions | undefined {
  const clash = Object.keys(a).some(
    (name) => name in b && a[name as keyof GenerateOptions] !== b[name as keyof GenerateOptions],
  );
  return clash ? undefined : { ...a, ...b };
}

const names = Object.keys(features);
const pairs = names.flatMap((a, i) => names.slice(i).map((b) => [a, b] as const));
const possible = pairs.filter(([a, b]) => together(features[a].options, features[b].options) !== undefined);
const refusalOf = (a: string, b: string) =>
  refusals.find(([x, y]) => (x.test(a) && y.test(b)) || (x.test(b) && y.test(a)));
/** All that are refused and every second of the others, nightly all. */
const tried = possible.filter(([a, b], i) => isNightly || i % 2 === 0 || refusalOf(a, b) !== undefined);

describe('pairs', () => {
  it.each(tried)('%s and %s', async (a, b) => {
    const [one, other] = [features[a], features[b]];
    const sampled = a === 'beams' || b === 'beams' ? {} : { temperature: 1.5, seed: 7 };
    const options = { maxTokens: 90, ...sampled, ...together(one.options, other.options) };
    const model = one.thinks || other.thinks ? thinking : plain;
    processed = 0;
    guarded = 0;
    const refusal = refusalOf(a, b);
    if (refusal) {
      const names = refusal[2] ? [refusal[2]] : Object.keys({ ...one.options, ...other.options });
      await expect(Promise.resolve().then(() => model.generate(messages, options))).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringMatching(new RegExp(names.join('|'))),
      });
      return;
    }
    const adapter = one.adapter ?? other.adapter;
    const run = model.generate(messages, options, adapter);
    const [beside, without, result] = await Promise.all([
      model.generate(messages, options, adapter),
      model.generate(messages, options),
      run,
    ]);
    one.check(result);
    other.check(result);
    for (const choice of result.choices ?? []) {
      for (const { check } of [one, other].filter((feature) => feature.options.responseFormat))
        check({ ...result, ...choice, object: choice.object });
    }
    // Batched with another, and from the prefix that it left.
    const again = await model.generate(messages, options, adapter);
    expect(again.text).toBe(result.text);
    expect(beside.text).toBe(result.text);
    expect(again.usage.cachedTokens).toBeGreaterThan(0);
    // With another adapter, or none, beside it.
    expect(without.text).toBe(
      adapter === undefined ? result.text : (await model.generate(messages, options)).text,
    );
  });
});
