/**
 * Bodies with wrong things in every field, from a seed: each is answered, in its protocol's shape, and never by a fault of the
 * server's own; the server answers as before afterwards. A sample; nightly 20,000 requests.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Random } from '../../scripts/fuzz/random.mjs';
import { routes } from '../../lib/server/routes.js';
import { amount } from '../nightly.js';
import { post, Served } from './served.js';

let served: Served;
beforeAll(async () => {
  served = await Served.start({ limits: { timeoutMs: 20_000, maxTokens: 4 } });
});
afterAll(() => served.stop());

/** A body that is right, with every field that a route knows. */
const right: Record<string, object> = {
  '/v1/chat/completions': {
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
    tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
    tool_choice: 'auto',
    stream: true,
    stream_options: { include_usage: true },
    chat_template_kwargs: {},
    max_tokens: 2,
  },
  '/v1/completions': { prompt: 'Once', max_tokens: 2, n: 2, stop: ['x'], logit_bias: { 1: 1 } },
  '/v1/embeddings': { input: ['a', 'b'], dimensions: 8, encoding_format: 'float' },
  '/v1/rerank': { query: 'a', documents: ['b', { text: 'c' }], top_n: 1, return_documents: true },
  '/v1/classify': { input: ['a', 'b'], top_k: 1 },
  '/v1/messages': {
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
    system: [{ type: 'text', text: 's' }],
    tools: [{ name: 'f', input_schema: { type: 'object' } }],
    tool_choice: { type: 'auto' },
    thinking: { type: 'enabled', budget_tokens: 1 },
    max_tokens: 2,
  },
  '/v1/messages/count_tokens': { messages: [{ role: 'user', content: 'Hi' }] },
  '/v1/responses': {
    input: [{ role: 'user', content: [{ type: 'input_text', text: 'Hi' }] }],
    max_output_tokens: 12,
    text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object', properties: { a: {} } } } },
  },
  '/tokenize': { content: 'Hi' },
  '/detokenize': { tokens: [1, 2] },
  '/apply-template': { messages: [{ role: 'user', content: 'Hi' }] },
};

/** The model generates: it judges nothing. */
const judging = ['/v1/rerank', '/v1/classify'];

const odd: unknown[] = [
  ...[null, true, false, 0, -1, 1.5, 1e300, -1e300, 2 ** 53, 3, 200],
  ...['', 'x', 'auto', '\u0000', '\ud800', 'é'.repeat(2000), '__proto__', '{"a":'],
  ...[[], {}, [[]], [null], [{}], { type: 'text' }, { type: 'image' }, { a: { b: { c: [1] } } }, [1, 'x']],
];

/** The same with something odd at one to three places. */
function spoiled(random: Random, body: unknown, fields: readonly string[]): unknown {
  const copy = structuredClone(body) as Record<string, unknown>;
  for (let i = random.pick([1, 1, 2, 3]); i > 0; i--) {
    let at: Record<string, unknown> = copy;
    while (random.chance(0.5)) {
      const inner = Object.values(at).filter((one) => typeof one === 'object' && one !== null);
      if (inner.length === 0) break;
      at = random.pick(inner) as Record<string, unknown>;
    }
    const names = at === copy ? [...fields, 'unknown'] : Object.keys(at);
    if (names.length > 0) at[random.pick(names)] = structuredClone(random.pick(odd));
  }
  return copy;
}

/** Undefined where the answer is as it must be. */
function faultOf(path: string, status: number, text: string): string | undefined {
  if (status === 200) return undefined;
  if (status !== 400 && status !== 404) return `status ${status}`;
  const body = JSON.parse(text);
  const { error } = body;
  if (typeof error?.message !== 'string' || typeof error.type !== 'string') return 'the shape of the error';
  if (error.message.length > 2200) return 'a message without end';
  if (path.startsWith('/v1/messages') !== (body.type === 'error')) return 'the shape of another protocol';
  return undefined;
}

test('wrong things in every field are answered as they must be, and the server goes on', async () => {
  const asked = routes.flatMap((route) => ('schema' in route ? [route] : []));
  expect(asked.map(({ path }) => path).sort()).toEqual(Object.keys(right).sort());
  for (const { path } of asked) {
    const { status } = await served.post(path, right[path]!);
    expect(status, path).toBe(judging.includes(path) ? 400 : 200);
  }
  const before = await served.post('/v1/completions', right['/v1/completions']);
  const faults: string[] = [];
  const statuses = new Map<number, number>();
  for (let seed = 0; seed < amount(600, 20_000); ++seed) {
    const random = new Random(seed);
    const { path, schema } = asked[seed % asked.length]!;
    const fields = Object.keys((schema as unknown as { entries: object }).entries);
    const response = await post(served.handler, path, spoiled(random, right[path], fields));
    const text = await response.text();
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    const fault = faultOf(path, response.status, text);
    if (fault !== undefined) faults.push(`${path}, seed ${seed}: ${fault}: ${text.slice(0, 200)}`);
  }
  expect(faults).toEqual([]);
  // It is no fuzzing where all is refused, or nothing.
  expect(statuses.get(400)).toBeGreaterThan(200);
  expect(statuses.get(200)).toBeGreaterThan(20);
  const after = await served.post('/v1/completions', right['/v1/completions']);
  expect(after.body.choices).toEqual(before.body.choices);
  expect((await served.get('/health')).body).toMatchObject({ running: 0, waiting: 0 });
}, 300_000);
