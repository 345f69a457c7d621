/** `kvasir/langchain` over the embedded model and a tiny reranker: what it gives is what the model's own methods give. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Document } from '@langchain/core/documents';
import { HumanMessage } from '@langchain/core/messages';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ChatKvasir, KvasirEmbeddings, KvasirReranker } from '../../lib/langchain/index.js';
import { Model } from '../../lib/model.js';
import { makeChatModel } from '../cli/cli-command.js';
import { classifierFolder } from './classifier-folders.js';

const documents = ['A fox.', 'The capital of France is Paris.', 'Rain falls.', 'Paris'];
const query = 'What is the capital of France?';
const prompt = 'Once upon a time';
const messages = [{ role: 'user', content: prompt }];
const greedy = { temperature: 0, maxTokens: 24 };

let folder: string;
let chat: ReturnType<typeof makeChatModel>;
let model: Model;
let ranker: Model;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-langchain-'));
  chat = makeChatModel();
  model = await Model.load(chat.folder, { threads: 1, contextLength: 2048 });
  ranker = await Model.load(classifierFolder(folder, 'bert-pairs'), { threads: 1 });
});
afterAll(async () => {
  await Promise.all([model.dispose(), ranker.dispose()]);
  chat.remove();
  rmSync(folder, { recursive: true });
});

describe('ChatKvasir', () => {
  it('answers as generate does, whole, streamed and in batches', async () => {
    const own = await model.generate(messages, greedy);
    const chatModel = new ChatKvasir({ model, ...greedy });
    const whole = await chatModel.invoke(prompt);
    expect(whole.text).toBe(own.text);
    expect(whole.usage_metadata).toMatchObject({ input_tokens: own.usage.promptTokens, output_tokens: 24 });
    let text = '';
    for await (const chunk of await chatModel.stream([new HumanMessage(prompt)])) text += chunk.text;
    expect(text).toBe(own.text);
    const many = await chatModel.batch([prompt, prompt]);
    expect(many.map((one) => one.text)).toEqual([own.text, own.text]);
    expect(await chatModel.getNumTokens(prompt)).toBe(
      model.tokenizer.encode(prompt, { addSpecialTokens: false }).length,
    );
  });

  it('gives objects that obey their schema, of zod and of JSON Schema', async () => {
    const schema = z.object({ name: z.string().max(8), age: z.number().int().min(0).max(150) });
    const chatModel = new ChatKvasir({ model, temperature: 1, seed: 3, maxTokens: 60 });
    const object = await chatModel.withStructuredOutput(schema).invoke(prompt);
    expect(schema.parse(object)).toEqual(object);
    const plain = {
      title: 'person',
      type: 'object',
      properties: { age: { type: 'integer' } },
      required: ['age'],
      additionalProperties: false,
    };
    const other = await chatModel.withStructuredOutput(plain).invoke(prompt);
    expect(Object.keys(other)).toEqual(['age']);
    expect(Number.isInteger(other.age)).toBe(true);
    const parts: unknown[] = [];
    for await (const part of await chatModel.withStructuredOutput(plain).stream(prompt)) parts.push(part);
    expect(parts.at(-1)).toEqual(other);
  });

  it('rejects as generate does', async () => {
    const chatModel = new ChatKvasir({ model, ...greedy });
    await expect(chatModel.invoke('word '.repeat(5000))).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    expect(() => new ChatKvasir({ model: 'stories-260k' as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
    expect(() => new ChatKvasir({ model, nonsense: 1 } as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});

describe('KvasirEmbeddings', () => {
  it('gives the vectors of embed, and queries with a prompt of their own', async () => {
    const embeddings = new KvasirEmbeddings({ model, queryPrompt: 'query: ', pooling: 'last' });
    const own = await model.embed(documents, { pooling: 'last' });
    expect(await embeddings.embedDocuments(documents)).toEqual(own.map((vector) => Array.from(vector)));
    const [asked] = await model.embed(query, { pooling: 'last', prompt: 'query: ' });
    expect(await embeddings.embedQuery(query)).toEqual(Array.from(asked!));
    expect(await embeddings.embedDocuments([])).toEqual([]);
    const wrong = new KvasirEmbeddings({ model, nonsense: 1 } as never);
    await expect(wrong.embedQuery('a')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

describe('KvasirReranker', () => {
  it('gives the best documents as rerank has them, with their scores', async () => {
    const own = await ranker.rerank(query, documents, { topK: 2 });
    const given = documents.map(
      (pageContent, i) => new Document({ pageContent, id: String(i), metadata: { i } }),
    );
    const best = await new KvasirReranker({ model: ranker, topN: 2 }).compressDocuments(given, query);
    expect(best.map(({ id, metadata }) => [Number(id), metadata])).toEqual(
      own.map(({ index, score }) => [index, { i: index, relevanceScore: score }]),
    );
    expect(await new KvasirReranker({ model: ranker }).compressDocuments([], query)).toEqual([]);
    expect(given[0]!.metadata).toEqual({ i: 0 });
  });
});
