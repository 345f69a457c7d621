/** `kvasir/ai-sdk` over the embedded model and tiny rerankers: what the SDK gives is what the model's own methods give. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createProviderRegistry,
  embed,
  embedMany,
  experimental_decide as decide,
  generateObject,
  generateText,
  Output,
  rerank,
  streamText,
} from 'ai';
import {
  embed as embed6,
  generateText as generateText6,
  streamText as streamText6,
  rerank as rerank6,
} from 'ai-6';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createKvasir, kvasir, kvasirV3 } from '../../lib/ai-sdk/index.js';
import { Model } from '../../lib/model.js';
import { makeChatModel } from '../cli/cli-command.js';
import { classifierFolder } from './classifier-folders.js';

const documents = ['A fox.', 'The capital of France is Paris.', 'Rain falls.', 'Paris'];
const query = 'What is the capital of France?';
const greedy = { temperature: 0, maxOutputTokens: 24, maxRetries: 0 };
const messages = [{ role: 'user' as const, content: 'Once upon a time' }];

// The SDK would write warnings to stderr.
globalThis.AI_SDK_LOG_WARNINGS = false;

let folder: string;
let chat: ReturnType<typeof makeChatModel>;
let model: Model;
let ranker: Model;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-ai-sdk-'));
  chat = makeChatModel();
  model = await Model.load(chat.folder, { threads: 1, contextLength: 2048 });
  ranker = await Model.load(classifierFolder(folder, 'bert-pairs'), { threads: 1 });
});
afterAll(async () => {
  await Promise.all([model.dispose(), ranker.dispose()]);
  chat.remove();
  rmSync(folder, { recursive: true });
});

describe('text', () => {
  it('is that of generate, whole and streamed', async () => {
    const own = await model.generate(messages, { temperature: 0, maxTokens: 24 });
    const whole = await generateText({ model: kvasir(model), messages, ...greedy });
    expect(whole.text).toBe(own.text);
    expect(whole.finishReason).toBe('length');
    expect(whole.usage).toMatchObject({ inputTokens: own.usage.promptTokens, outputTokens: 24 });
    const stream = streamText({ model: kvasir(model), messages, ...greedy });
    let text = '';
    for await (const delta of stream.textStream) text += delta;
    expect(text).toBe(own.text);
    expect(await stream.usage).toMatchObject({ inputTokens: own.usage.promptTokens, outputTokens: 24 });
  });

  it('with settings of the model and log-probabilities', async () => {
    const settings = { seed: 5, temperature: 1, logprobs: 2 };
    const own = await model.generate(messages, { ...settings, maxTokens: 8 });
    const { text, providerMetadata } = await generateText({
      model: kvasir(model, settings),
      messages,
      maxOutputTokens: 8,
    });
    expect(text).toBe(own.text);
    expect(providerMetadata!.kvasir!.logprobs).toEqual(own.logprobs);
  });

  it('what is wrong rejects, and reaches the stream', async () => {
    const long = 'word '.repeat(5000);
    const rejected = generateText({ model: kvasir(model), prompt: long, ...greedy });
    await expect(rejected).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    const errors: unknown[] = [];
    const stream = streamText({
      model: kvasir(model),
      prompt: long,
      ...greedy,
      onError: ({ error }) => void errors.push(error),
    });
    for await (const _ of stream.fullStream);
    expect(errors).toMatchObject([{ code: 'CONTEXT_OVERFLOW' }]);
    expect(() => kvasir('stories-260k' as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
    expect(() => kvasir(model, { nonsense: 1 } as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});

describe('objects', () => {
  const schema = z.object({
    name: z.string().max(8),
    age: z.number().int().min(0).max(150),
    tags: z.array(z.enum(['a', 'b'])).max(3),
  });
  const drawn = { temperature: 1, seed: 3, maxOutputTokens: 80, maxRetries: 0 };

  it('obey their schema', async () => {
    const { output } = await generateText({
      model: kvasir(model),
      messages,
      output: Output.object({ schema }),
      ...drawn,
    });
    expect(schema.parse(output)).toEqual(output);
    const older = await generateObject({ model: kvasir(model), messages, schema, ...drawn });
    expect(older.object).toEqual(output);
  });

  it('stream in parts that grow', async () => {
    const { partialOutputStream, output } = streamText({
      model: kvasir(model),
      messages,
      output: Output.object({ schema }),
      ...drawn,
    });
    const parts: unknown[] = [];
    for await (const part of partialOutputStream) parts.push(part);
    expect(parts.length).toBeGreaterThan(1);
    expect(parts.at(-1)).toEqual(await output);
    expect(schema.safeParse(await output).success).toBe(true);
  });

  it('choices, arrays and any JSON too', async () => {
    const options = ['red', 'green', 'blue'];
    const choice = await generateText({
      model: kvasir(model),
      messages,
      output: Output.choice({ options }),
      ...drawn,
    });
    expect(options).toContain(choice.output);
    const array = await generateText({
      model: kvasir(model),
      messages,
      output: Output.array({ element: z.number() }),
      ...drawn,
    });
    expect(array.output.every((one) => typeof one === 'number')).toBe(true);
    const json = await generateText({ model: kvasir(model), messages, output: Output.json(), ...drawn });
    expect(json.output).not.toBeUndefined();
  });
});

describe('vectors and ranks', () => {
  it('are those of embed', async () => {
    const own = await model.embed(['a dog', 'a cat']);
    const many = await embedMany({ model: kvasir.embeddingModel(model), values: ['a dog', 'a cat'] });
    expect(many.embeddings).toEqual(own.map((vector) => Array.from(vector)));
    expect(many.usage.tokens).toBe(own.tokens);
    const providerOptions = { kvasir: { pooling: 'last', normalize: false } };
    const one = await embed({ model: kvasir.embeddingModel(model), value: 'a dog', providerOptions });
    const [last] = await model.embed('a dog', { pooling: 'last', normalize: false });
    expect(one.embedding).toEqual(Array.from(last!));
    const short = await kvasir
      .embeddingModel(model, { pooling: 'last' })
      .doEmbed({ values: ['a dog'], dimensions: 8 });
    expect(short.embeddings[0]).toHaveLength(8);
    const wrong = embed({
      model: kvasir.embeddingModel(model),
      value: 'a',
      providerOptions: { kvasir: { nonsense: 1 } },
      maxRetries: 0,
    });
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('are those of rerank', async () => {
    const own = await ranker.rerank(query, documents, { topK: 2 });
    const result = await rerank({ model: kvasir.rerankingModel(ranker), query, documents, topN: 2 });
    expect(result.ranking.map(({ originalIndex, score }) => ({ index: originalIndex, score }))).toEqual(own);
    expect(result.rerankedDocuments[0]).toBe(documents[own[0]!.index]);
    const objects = documents.map((text) => ({ text }));
    const ofObjects = await kvasir
      .rerankingModel(ranker)
      .doRerank({ query, documents: { type: 'object', values: objects } });
    expect(ofObjects.warnings).toMatchObject([{ type: 'compatibility' }]);
    const json = await ranker.rerank(
      query,
      objects.map((one) => JSON.stringify(one)),
    );
    expect(ofObjects.ranking.map(({ index }) => index)).toEqual(json.map(({ index }) => index));
  });
});

describe('decisions', () => {
  it('answer each question with a whole distribution, that of decide', async () => {
    const { answers } = await decide({
      model: kvasir.decisionModel(model),
      state: 'The invoice is wrong.',
      questions: {
        team: {
          type: 'choice',
          instructions: 'Which team?',
          criteria: { billing: 'Invoices.', sales: null },
        },
        anger: { type: 'score', instructions: 'How angry?', criteria: ['Calm.', 'Angry.', 'Furious.'] },
        urgent: { type: 'boolean', instructions: 'Is it urgent?' },
        only: { type: 'choice', criteria: { one: 'There is no other.' } },
      },
    });
    expect(Object.keys(answers.team.probabilities!).sort()).toEqual(['billing', 'sales']);
    expect(answers.only).toMatchObject({ choice: 'one', probabilities: { one: 1 } });
    const levels = Object.values(answers.anger.probabilities!);
    expect(answers.anger.score).toBeCloseTo(levels[1]! + 2 * levels[2]!, 9);
    const text =
      'The invoice is wrong.\n\nIs it urgent?\n- true\n- false\nAnswer with true or false, and nothing else.';
    const own = await model.decide([{ role: 'user', content: text }], { boolean: true });
    expect(answers.urgent.probability).toBeCloseTo(own.probabilities.true!, 9);
  });

  it('are not made about images, and end with the signal', async () => {
    const questions = { here: { type: 'box', instructions: 'Where is it?' } } as const;
    await expect(decide({ model: kvasir.decisionModel(model), state: 'x', questions })).rejects.toThrow(
      /box/,
    );
    const urgent = { urgent: { type: 'boolean', instructions: 'Is it urgent?' } } as const;
    const abortSignal = AbortSignal.abort(new DOMException('over', 'AbortError'));
    const aborted = kvasir
      .decisionModel(model)
      .doDecide({ state: [{ type: 'text', text: 'x' }], questions: urgent, abortSignal });
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('a provider', () => {
  it('finds models by name in a registry', async () => {
    const registry = createProviderRegistry({ kvasir: createKvasir({ stories: model, ranker }) });
    const { text } = await generateText({
      model: registry.languageModel('kvasir:stories'),
      messages,
      ...greedy,
    });
    expect(text).toBe((await model.generate(messages, { temperature: 0, maxTokens: 24 })).text);
    expect(registry.embeddingModel('kvasir:stories').modelId).toBe(model.info.name);
    expect(registry.rerankingModel('kvasir:ranker').modelId).toBe(ranker.info.name);
    expect(() => registry.languageModel('kvasir:other')).toThrow(/There are: stories, ranker/);
    expect(() => createKvasir({ a: 1 as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});

/** Both versions are installed here, each with types of JSON of its own. */
const v3 = (given: object): never => given as never;

describe('version 3 of the specification, with ai 6', () => {
  it('generates, streams, embeds and reranks the same', async () => {
    const own = await model.generate(messages, { temperature: 0, maxTokens: 24 });
    const whole = await generateText6({ model: v3(kvasirV3(model)), messages, ...greedy });
    expect([whole.text, whole.usage.outputTokens]).toEqual([own.text, 24]);
    let text = '';
    for await (const delta of streamText6({ model: v3(kvasirV3(model)), messages, ...greedy }).textStream)
      text += delta;
    expect(text).toBe(own.text);
    const { embedding } = await embed6({ model: v3(kvasirV3.embeddingModel(model)), value: 'a dog' });
    expect(embedding).toEqual(Array.from((await model.embed('a dog'))[0]!));
    const { ranking } = await rerank6({ model: v3(kvasirV3.rerankingModel(ranker)), query, documents });
    expect(ranking.map(({ originalIndex }) => originalIndex)).toEqual(
      (await ranker.rerank(query, documents)).map(({ index }) => index),
    );
  });
});
