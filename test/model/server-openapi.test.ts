/** /openapi.json: a valid description of every route, whose schemas take what the routes take. */
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routes } from '../../lib/server/routes.js';
import { type Body, Served } from './served.js';

let served: Served;
let description: Body;
beforeAll(async () => {
  served = await Served.start({ keys: ['secret'] });
  const { status, headers, body } = await served.get('/openapi.json');
  expect(status).toBe(200);
  expect(headers.get('content-type')).toContain('application/json');
  description = body;
});
afterAll(() => served.stop());

const schemaOf = (path: string): object =>
  description.paths[path].post.requestBody.content['application/json'].schema;

it('is valid OpenAPI 3.1, and needs no key', async () => {
  const result = await new Validator().validate(structuredClone(description));
  expect(result.errors).toBeUndefined();
  expect(result.valid).toBe(true);
  expect(description.openapi).toBe('3.1.0');
});

it('has every route once, under names of its own', () => {
  const told = Object.entries<Record<string, Body>>(description.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const known = routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)(\{.*\})?$/, '{$1}')}`);
  expect(told.sort()).toEqual(known.sort());
  const names = Object.values<Record<string, Body>>(description.paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );
  expect(new Set(names).size).toBe(routes.length);
});

describe('the schema of', () => {
  const messages = [{ role: 'user', content: 'Hi' }];
  const ajv = new Ajv2020({ strict: false });

  it.each<[string, object, string]>([
    [
      '/v1/chat/completions',
      { messages, max_tokens: 3, temperature: 0.5, logit_bias: { 5: -1 }, stop: ['x'] },
      'temperature',
    ],
    ['/v1/completions', { prompt: ['a', [1, 2]], n: 2, seed: 1, stream: true }, 'n'],
    ['/v1/embeddings', { input: ['a'], encoding_format: 'base64' }, 'encoding_format'],
    ['/v1/rerank', { query: 'a', documents: ['b', { text: 'c' }], top_n: 1 }, 'top_n'],
    ['/v1/classify', { input: 'a', top_k: 2 }, 'top_k'],
    ['/v1/responses', { input: 'a', max_output_tokens: 4 }, 'max_output_tokens'],
    ['/v1/messages', { messages, max_tokens: 4, thinking: { type: 'disabled' } }, 'max_tokens'],
    ['/tokenize', { content: 'a', with_pieces: true }, 'with_pieces'],
  ])('%s takes what the route takes, and nothing else', (path, right, field) => {
    const check = ajv.compile(schemaOf(path));
    expect(check(right), JSON.stringify(check.errors)).toBe(true);
    expect(check({ ...right, nonsense: 1 })).toBe(false);
    expect(check({ ...right, [field]: { wrong: true } })).toBe(false);
    expect(check({ ...right, [field]: -5 })).toBe(false);
  });
});
