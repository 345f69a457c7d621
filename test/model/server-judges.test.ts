/** /v1/rerank, /v1/classify and structured answers over HTTP's requests: what the model's own methods give. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/model.js';
import { createHandler, type Handler } from '../../lib/server/index.js';
import { classifierFolder } from './classifier-folders.js';
import { post, replyOf, Served } from './served.js';

const documents = ['A fox.', 'The capital of France is Paris.', 'Rain falls.', 'Paris'];
const query = 'What is the capital of France?';

describe('judges', () => {
  let models: { ranker: Model; labels: Model; entities: Model };
  let handler: Handler;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-judges-'));
    const load = (name: string) =>
      Model.load(classifierFolder(folder, name), { device: 'cpu', dtype: 'fp32', threads: 1 });
    models = {
      ranker: await load('bert-pairs'),
      labels: await load('bert'),
      entities: await load('bert-tokens'),
    };
    handler = createHandler({ models });
  });
  afterAll(async () => {
    await handler.close();
    for (const model of Object.values(models)) await model.dispose();
    rmSync(folder, { recursive: true });
  });
  const ask = (path: string, body: object) => replyOf(post(handler, path, body));

  it('ranks documents as the model does', async () => {
    const expected = await models.ranker.rerank(query, documents);
    const objects = documents.map((text, i) => (i % 2 === 0 ? { text } : text));
    const { status, body } = await ask('/v1/rerank', { model: 'ranker', query, documents: objects });
    expect(status).toBe(200);
    expect(body).toMatchObject({ model: 'ranker' });
    expect(body.results).toEqual(expected.map(({ index, score }) => ({ index, relevance_score: score })));
    const best = await ask('/v1/rerank', {
      model: 'ranker',
      query,
      documents,
      top_n: 2,
      return_documents: true,
    });
    expect(best.body.results).toEqual(
      expected.slice(0, 2).map(({ index, score }) => {
        return { index, relevance_score: score, document: { text: documents[index] } };
      }),
    );
    const all = await ask('/v1/rerank', { model: 'ranker', query, documents, top_n: 99 });
    expect(all.body.results).toHaveLength(documents.length);
  });

  it('labels texts, and finds entities, as the model does', async () => {
    const expected = await models.labels.classify(documents);
    const { body } = await ask('/v1/classify', { model: 'labels', input: documents });
    expect(body.data).toEqual(expected.map((labels, index) => ({ index, label: labels[0]!.label, labels })));
    const one = await ask('/v1/classify', { model: 'labels', input: documents[0], top_k: 1 });
    expect(one.body.data).toEqual([
      { index: 0, label: expected[0]![0]!.label, labels: expected[0]!.slice(0, 1) },
    ]);
    const [entities] = await models.entities.classify(query);
    const found = await ask('/v1/classify', { model: 'entities', input: query });
    expect(found.body.data[0].labels).toEqual(entities);
  });

  it.each([
    ['/v1/rerank', { model: 'ranker', documents }, 'query'],
    ['/v1/rerank', { model: 'ranker', query, documents: [] }, 'documents'],
    ['/v1/rerank', { model: 'ranker', query, documents: [5] }, 'documents[0]'],
    ['/v1/rerank', { model: 'ranker', query, documents, top_n: 0 }, 'top_n'],
    ['/v1/rerank', { model: 'ranker', query, documents, nonsense: 1 }, 'nonsense'],
    ['/v1/classify', { model: 'labels' }, 'input'],
    ['/v1/classify', { model: 'labels', input: [] }, 'input'],
    ['/v1/classify', { model: 'labels', input: 'a', top_k: 0 }, 'top_k'],
  ])('%s refuses %j', async (path, body, param) => {
    expect(await ask(path, body)).toMatchObject({ status: 400, body: { error: { param } } });
  });

  it('a model that is none says so', async () => {
    const reply = await ask('/v1/rerank', { model: 'entities', query, documents });
    expect(reply).toMatchObject({ status: 400, body: { error: { type: 'invalid_request_error' } } });
    expect(reply.body.error.message).toMatch(/rerank/);
  });
});

describe('structured answers', () => {
  let served: Served;
  beforeAll(async () => {
    served = await Served.start();
  });
  afterAll(() => served.stop());
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 8 },
      age: { type: 'integer', minimum: 0, maximum: 150 },
    },
    required: ['name', 'age'],
    additionalProperties: false,
  };
  const messages = [{ role: 'user', content: 'Who?' }];

  it('chat obeys a schema, whole and streamed alike', async () => {
    const body = {
      messages,
      seed: 3,
      temperature: 1,
      max_tokens: 60,
      response_format: { type: 'json_schema', json_schema: { name: 'person', schema, strict: true } },
    };
    const { status, body: whole } = await served.post('/v1/chat/completions', body);
    expect(status).toBe(200);
    const { content } = whole.choices[0].message;
    const { name, age, ...others } = JSON.parse(content);
    expect(others).toEqual({});
    expect([...name].length).toBeLessThanOrEqual(8);
    expect(Number.isInteger(age) && age >= 0 && age <= 150).toBe(true);
    const events = await served.stream('/v1/chat/completions', body);
    const streamed = events.map(({ data }) => data.choices?.[0]?.delta?.content ?? '').join('');
    expect(streamed).toBe(content);
  });

  it('json_object is any object, in chat and in responses', async () => {
    const chat = await served.post('/v1/chat/completions', {
      messages,
      max_tokens: 40,
      response_format: { type: 'json_object' },
    });
    expect(JSON.parse(chat.body.choices[0].message.content)).toBeTypeOf('object');
    const response = await served.post('/v1/responses', {
      input: 'Who?',
      max_output_tokens: 60,
      text: { format: { type: 'json_schema', name: 'person', schema } },
    });
    expect(response.status).toBe(200);
    const { name } = JSON.parse(response.body.output.at(-1).content[0].text);
    expect(name).toBeTypeOf('string');
  });

  it('a schema that cannot be enforced is a 400 that names the place', async () => {
    const { status, body } = await served.post('/v1/chat/completions', {
      messages,
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'x', schema: { type: 'object', properties: { a: { type: 'nonsense' } } } },
      },
    });
    expect(status).toBe(400);
    expect(body.error.message).toContain('/properties/a');
  });
});
