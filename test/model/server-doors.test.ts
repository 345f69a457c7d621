/** Who may ask for what, templates as requests set them, and clients who leave while a model is loaded. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { createHandler, type LogEntry } from '../../lib/server/index.js';
import { post, replyOf, Served, url } from './served.js';

const short = { prompt: 'Once upon a time', max_tokens: 2 };

describe('a server with a key', () => {
  let served: Served;
  beforeAll(async () => {
    served = await Served.start({ keys: ['secret'], origins: ['https://chat.example'] });
  });
  afterAll(() => served.stop());

  it.each(['/', '/health', '/openapi.json'])('%s needs none', async (path) => {
    expect((await served.get(path)).status).toBe(200);
  });

  it('takes it as either protocol sends it, and nothing like it', async () => {
    const status = async (headers: Record<string, string>) =>
      (await served.post('/v1/completions', short, headers)).status;
    expect(await status({ authorization: 'Bearer secret' })).toBe(200);
    expect(await status({ 'x-api-key': 'secret' })).toBe(200);
    for (const wrong of [{}, { authorization: 'secret' }, { 'x-api-key': 'secret2' }]) {
      expect(await status(wrong as Record<string, string>)).toBe(401);
    }
    for (const path of ['/metrics', '/v1/models']) expect((await served.get(path)).status).toBe(401);
    for (const path of ['/v1/messages', '/v1/responses', '/tokenize', '/v1/embeddings']) {
      expect((await served.post(path, {})).status).toBe(401);
    }
  });

  const preflight = (origin: string) =>
    replyOf(
      served.handler(
        new Request(url('/v1/completions'), {
          method: 'OPTIONS',
          headers: {
            origin,
            'access-control-request-method': 'POST',
            'access-control-request-headers': 'authorization',
          },
        }),
      ),
    );

  it.each([
    'http://localhost',
    'http://localhost:8080',
    'http://127.0.0.1:3000',
    'http://[::1]:3000',
    'https://chat.example',
  ])('lets pages of %s ask, and read streams', async (origin) => {
    const { status, headers } = await preflight(origin);
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe(origin);
    expect(headers.get('access-control-allow-methods')).toContain('POST');
    expect(headers.get('access-control-allow-headers')).toBe('authorization');
    const asked = await served.post(
      '/v1/completions',
      { ...short, stream: true },
      { origin, 'x-api-key': 'secret' },
    );
    expect(asked.headers.get('access-control-allow-origin')).toBe(origin);
    expect(asked.headers.get('vary')).toBe('origin');
  });

  it.each(['http://evil.example', 'http://notlocalhost', 'http://localhost.evil.example', 'null'])(
    'tells pages of %s nothing',
    async (origin) => {
      const { status, headers } = await preflight(origin);
      expect(status).toBe(403);
      expect(headers.get('access-control-allow-origin')).toBeNull();
    },
  );
});

it('without a page there is none', async () => {
  const served = await Served.start({ page: false });
  expect((await served.get('/')).status).toBe(404);
  expect((await served.get('/health')).status).toBe(200);
  await served.stop();
});

describe('templates', () => {
  const template =
    "{{ strftime_now('%Y-%m') }}{% for tool in tools or [] %}[{{ tool.function.name }}]{% endfor %}" +
    '{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}' +
    '{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}{% endfor %}' +
    '{% if add_generation_prompt %}<assistant>{% if enable_thinking is defined and not enable_thinking %}' +
    '<think></think>{% endif %}{% endif %}';
  let served: Served;
  beforeAll(async () => {
    served = await Served.start({}, { template });
  });
  afterAll(() => served.stop());
  const messages = [{ role: 'user', content: 'What is today?' }];
  const written = async (body: object): Promise<string> =>
    (await served.post('/apply-template', { messages, ...body })).body.prompt;

  it('know the day, the tools, and whether an answer follows', async () => {
    const month = new Date().toLocaleDateString('sv').slice(0, 7);
    expect(await written({})).toBe(`${month}<user>What is today?<assistant>`);
    expect(await written({ add_generation_prompt: false })).toBe(`${month}<user>What is today?`);
    const tools = [{ type: 'function', function: { name: 'today', parameters: { type: 'object' } } }];
    expect(await written({ tools })).toBe(`${month}[today]<user>What is today?<assistant>`);
    expect(await written({ tools: [] })).toBe(await written({}));
  });

  it('take what a request says of thinking', async () => {
    expect(await written({ chat_template_kwargs: { enable_thinking: false } })).toMatch(/<think><\/think>$/);
    expect(await written({ chat_template_kwargs: { enable_thinking: true } })).toMatch(/<assistant>$/);
  });

  it('get the thoughts and calls of the answers before', async () => {
    const call = { id: 'c', type: 'function', function: { name: 'list_files', arguments: '{"path":"."}' } };
    const history = [
      ...messages,
      { role: 'assistant', content: '', reasoning_content: 'I should look.', tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c', content: 'main.py' },
    ];
    expect(await written({ messages: history })).toMatch(
      /<assistant>\(I should look\.\)list_files<tool>main\.py<assistant>$/,
    );
    const blocks = (thinking: boolean) => [
      { role: 'user', content: 'Look.' },
      {
        role: 'assistant',
        content: [
          ...(thinking ? [{ type: 'thinking', thinking: 'I should look at all of it.', signature: '' }] : []),
          { type: 'tool_use', id: 'c', name: 'list_files', input: { path: '.' } },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c', content: 'main.py' }] },
    ];
    const count = async (thinking: boolean): Promise<number> =>
      (await served.post('/v1/messages/count_tokens', { messages: blocks(thinking) })).body.input_tokens;
    expect(await count(true)).toBeGreaterThan(await count(false));
  });
});

describe('a client that leaves while its model', () => {
  let folder: string;
  const log: LogEntry[] = [];
  const events = () =>
    log.filter(({ event }) => event !== 'request').map(({ event, model }) => `${event} ${model}`);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-left-'));
    for (const name of ['one', 'two']) {
      cpSync(join(packageRoot, 'models', 'stories-260k'), join(folder, name), { recursive: true });
    }
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const serve = (memoryBudget?: number) => {
    log.length = 0;
    return createHandler({
      models: ['one', 'two'].map((id) => ({
        id,
        model: join(folder, id),
        options: { threads: 1, contextLength: 256 },
      })),
      memoryBudget,
      log: (entry) => log.push(entry),
    });
  };

  it('is loaded takes it from nobody else', async () => {
    const handler = serve();
    const leaving = new AbortController();
    const body = { ...short, model: 'one' };
    const left = post(handler, '/v1/completions', body, { signal: leaving.signal });
    const stays = replyOf(post(handler, '/v1/completions', body));
    await new Promise((resolve) => setImmediate(resolve));
    leaving.abort();
    expect((await left).status).toBe(499);
    expect(events()).toEqual([]);
    expect((await stays).status).toBe(200);
    expect(events()).toEqual(['model-loaded one']);
    await handler.close();
  });

  it('waits for room costs no other model its place', async () => {
    const probe = serve();
    await replyOf(post(probe, '/v1/completions', { ...short, model: 'one' }));
    const bytes = log.find(({ event }) => event === 'model-loaded')!.bytes as number;
    await probe.close();
    const handler = serve(Math.floor(bytes * 1.5));
    const endless = { ...short, model: 'one', max_tokens: 200, ignore_eos: true, stream: true };
    const busy = await post(handler, '/v1/completions', endless);
    const reader = busy.body!.getReader();
    await reader.read();
    const leaving = new AbortController();
    const left = post(handler, '/v1/completions', { ...short, model: 'two' }, { signal: leaving.signal });
    const pause = () => new Promise((resolve) => setTimeout(resolve, 700));
    await pause();
    leaving.abort();
    expect((await left).status).toBe(499);
    await reader.cancel();
    // Long enough to unload the one and to load the other.
    await pause();
    expect(events()).toEqual(['model-loaded one']);
    expect((await replyOf(post(handler, '/v1/completions', { ...short, model: 'one' }))).status).toBe(200);
    expect(events()).toEqual(['model-loaded one']);
    // Who asks for it later gets it.
    expect((await replyOf(post(handler, '/v1/completions', { ...short, model: 'two' }))).status).toBe(200);
    expect(events()).toEqual(['model-loaded one', 'model-unloaded one', 'model-loaded two']);
    await handler.close();
  });
});
