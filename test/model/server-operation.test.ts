/** The server in operation: keys, a full queue, deadlines, its end, models that come and go. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { createHandler, type HandlerOptions, type LogEntry } from '../../lib/server/index.js';
import { eventsOf, post, replyOf, Served, url } from './served.js';

const endless = { prompt: 'Once upon a time', max_tokens: 4000, ignore_eos: true };
const short = { prompt: 'Once upon a time', max_tokens: 4 };

async function withServed(options: Partial<HandlerOptions>, use: (served: Served) => Promise<void>) {
  const served = await Served.start(options);
  try {
    await use(served);
  } finally {
    await served.stop();
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('It never comes true.');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('keys', () => {
  it('are needed for everything but /health, and told in the shape of the protocol', async () => {
    await withServed({ keys: ['secret'] }, async (served) => {
      expect((await served.get('/health')).status).toBe(200);
      expect(await served.get('/v1/models')).toMatchObject({
        status: 401,
        body: { error: { type: 'authentication_error', code: 'missing_api_key' } },
      });
      const wrong = await served.post('/v1/completions', short, { authorization: 'Bearer Secret' });
      expect(wrong).toMatchObject({ status: 401, body: { error: { code: 'invalid_api_key' } } });
      expect(wrong.headers.get('www-authenticate')).toBe('Bearer');
      const right = await served.post('/v1/completions', short, { authorization: 'Bearer secret' });
      expect(right.status).toBe(200);
    });
  });
});

describe('a full server', () => {
  it('refuses with 429 and when to come again; who waits is answered', async () => {
    await withServed({ limits: { concurrent: 1, queue: 1 } }, async (served) => {
      const stop = new AbortController();
      const first = post(served.handler, '/v1/completions', endless, { signal: stop.signal });
      await until(async () => (await served.get('/health')).body.running === 1);
      const second = served.post('/v1/completions', short);
      await until(async () => (await served.get('/health')).body.waiting === 1);
      const third = await served.post('/v1/completions', { ...short, stream: true });
      expect(third).toMatchObject({
        status: 429,
        body: { error: { type: 'rate_limit_error', code: 'server_busy' } },
      });
      expect(Number(third.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      stop.abort();
      expect((await first).status).toBe(499);
      expect((await second).status).toBe(200);
    });
  });

  it('a request whose client leaves the queue never runs', async () => {
    const log: LogEntry[] = [];
    await withServed({ limits: { concurrent: 1 }, log: (entry) => log.push(entry) }, async (served) => {
      const [running, waiting] = [new AbortController(), new AbortController()];
      const first = post(served.handler, '/v1/completions', endless, { signal: running.signal });
      await until(async () => (await served.get('/health')).body.running === 1);
      const second = post(served.handler, '/v1/completions', short, { signal: waiting.signal });
      await until(async () => (await served.get('/health')).body.waiting === 1);
      waiting.abort();
      expect((await second).status).toBe(499);
      expect((await served.get('/health')).body).toMatchObject({ running: 1, waiting: 0 });
      running.abort();
      await first;
      expect(log.filter(({ completionTokens }) => completionTokens !== undefined)).toEqual([]);
    });
  });
});

describe('deadlines', () => {
  it('stop a request: 504, or the last event of a stream', async () => {
    await withServed({ limits: { timeoutMs: 150 } }, async (served) => {
      expect(await served.post('/v1/completions', endless)).toMatchObject({
        status: 504,
        body: { error: { type: 'timeout_error', code: 'timeout' } },
      });
      const events = await served.stream('/v1/completions', endless);
      expect(events.length).toBeGreaterThan(1);
      expect(events.at(-1)!.data.error).toMatchObject({ type: 'timeout_error' });
      await until(async () => (await served.get('/health')).body.running === 0);
    });
  });
});

describe('the log', () => {
  it('has a line a request, with figures and without a word of it', async () => {
    const log: LogEntry[] = [];
    await withServed({ log: (entry) => log.push(entry) }, async (served) => {
      await served.post('/v1/completions', short);
      await served.post('/v1/completions', { ...short, temperature: 'hot' });
      expect(log).toHaveLength(2);
      expect(log[0]).toMatchObject({
        event: 'request',
        level: 'info',
        path: '/v1/completions',
        status: 200,
        key: 'anybody',
        model: 'stories',
        promptTokens: 5,
        completionTokens: 4,
        finishReasons: ['length'],
      });
      expect(log[0]!.ttftMs).toBeGreaterThan(0);
      expect(log[1]).toMatchObject({ status: 400, error: expect.stringContaining('temperature') });
      expect(JSON.stringify(log)).not.toContain('Once');
    });
  });

  it('has the bodies where that is asked for', async () => {
    const log: LogEntry[] = [];
    await withServed({ log: (entry) => log.push(entry), logPrompts: true }, async (served) => {
      await served.post('/v1/completions', short);
      expect(log[0]!.body).toEqual(short);
    });
  });

  it('that throws is no reason to answer nobody', async () => {
    const log = () => {
      throw new Error('the disk is full');
    };
    await withServed({ log }, async (served) => {
      expect((await served.post('/v1/completions', short)).status).toBe(200);
    });
  });
});

describe('the end', () => {
  it('finishes what runs and refuses what comes', async () => {
    const served = await Served.start();
    const running = post(served.handler, '/v1/completions', { ...short, max_tokens: 500, stream: true });
    const response = await running;
    const closed = served.handler.close();
    expect(await served.post('/v1/completions', short)).toMatchObject({
      status: 503,
      body: { error: { code: 'shutting_down' } },
    });
    expect(await served.get('/health')).toMatchObject({ status: 503, body: { status: 'closing' } });
    const events = eventsOf(await response.text());
    expect(events.at(-1)!.data).toBe('[DONE]');
    await closed;
    await served.stop();
  });

  it('stops what runs longer than the grace', async () => {
    const served = await Served.start();
    const whole = served.post('/v1/completions', endless);
    await until(async () => (await served.get('/health')).body.running === 1);
    const started = performance.now();
    await served.handler.close(50);
    expect(performance.now() - started).toBeLessThan(5000);
    expect(await whole).toMatchObject({ status: 503, body: { error: { code: 'shutting_down' } } });
    await served.stop();
  });
});

describe('models that are named', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-served-'));
    for (const name of ['one', 'two']) {
      cpSync(join(packageRoot, 'models', 'stories-260k'), join(folder, name), { recursive: true });
    }
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const server = (memoryBudget: number | undefined, log: LogEntry[]) =>
    createHandler({
      models: ['one', 'two'].map((id) => ({
        id,
        model: join(folder, id),
        aliases: [`alias-${id}`],
        options: { threads: 1, contextLength: 128 },
      })),
      memoryBudget,
      log: (entry) => log.push(entry),
    });
  const ask = (handler: ReturnType<typeof server>, model: string | undefined) =>
    replyOf(post(handler, '/v1/completions', { ...short, model }));
  const eventsIn = (log: LogEntry[]) =>
    log.filter(({ event }) => event !== 'request').map(({ event, model }) => `${event} ${model}`);

  it('are loaded at the first request, once for all who wait', async () => {
    const log: LogEntry[] = [];
    const handler = server(undefined, log);
    const replies = await Promise.all([ask(handler, 'one'), ask(handler, 'alias-one'), ask(handler, 'two')]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(replies.map(({ body }) => body.model)).toEqual(['one', 'one', 'two']);
    expect(eventsIn(log)).toEqual(['model-loaded one', 'model-loaded two']);
    const { body } = await replyOf(handler(new Request(url('/v1/models'))));
    expect(body.data.map(({ loaded }: { loaded: boolean }) => loaded)).toEqual([true, true]);
    await handler.close();
    expect(eventsIn(log).slice(2).sort()).toEqual(['model-unloaded one', 'model-unloaded two']);
  });

  it('must be named where there are several', async () => {
    const handler = server(undefined, []);
    expect(await ask(handler, undefined)).toMatchObject({ status: 400, body: { error: { param: 'model' } } });
    await handler.close();
  });

  it('give way to each other within the budget, the longest unused first', async () => {
    const log: LogEntry[] = [];
    const probe = server(undefined, log);
    await ask(probe, 'one');
    await probe.close();
    const bytes = log.find(({ event }) => event === 'model-loaded')!.bytes as number;
    log.length = 0;
    const handler = server(Math.floor(bytes * 1.5), log);
    for (const model of ['one', 'two', 'one']) expect((await ask(handler, model)).status).toBe(200);
    // Both at once: the second load waits until the first model is free.
    const both = await Promise.all([ask(handler, 'one'), ask(handler, 'two')]);
    expect(both.map(({ status }) => status)).toEqual([200, 200]);
    expect(eventsIn(log)).toEqual([
      'model-loaded one',
      'model-unloaded one',
      'model-loaded two',
      'model-unloaded two',
      'model-loaded one',
      'model-unloaded one',
      'model-loaded two',
    ]);
    await handler.close();
  });

  it('that never fit, or are not there, are told without their path', async () => {
    const log: LogEntry[] = [];
    const handler = server(1000, log);
    expect(await ask(handler, 'one')).toMatchObject({
      status: 503,
      body: { error: { code: 'insufficient_memory' } },
    });
    await handler.close();
    const missing = createHandler({ models: { m: join(folder, 'none') }, log: (entry) => log.push(entry) });
    const reply = await ask(missing, 'm');
    expect(reply).toMatchObject({ status: 503, body: { error: { code: 'model_load_failed' } } });
    expect(JSON.stringify(reply.body)).not.toContain(folder);
    expect(log.find(({ event, model }) => event === 'model-failed' && model === 'm')!.error).toContain(
      folder,
    );
    await expect(missing.preload()).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    await missing.close();
  });
});

describe('options', () => {
  it.each([
    [{ models: [] }, 'models'],
    [{ models: { a: 1 } }, 'model'],
    [{ models: ['a', 'a'] }, 'models'],
    [{ models: 'a', keys: 1 }, 'keys'],
    [{ models: 'a', keys: [{ key: '' }] }, 'key'],
    [{ models: 'a', limits: { queue: -1 } }, 'queue'],
    [{ models: 'a', limits: { frobs: 1 } }, 'frobs'],
    [{ models: [{ model: 'a', options: { threads: 0 } }] }, 'threads'],
    [{ models: 'a', frobnicate: 1 }, 'frobnicate'],
  ])('%j: INVALID_OPTION of %s', (options, option) => {
    expect(() => createHandler(options as never)).toThrowError(
      expect.objectContaining({ code: 'INVALID_OPTION', details: expect.objectContaining({ option }) }),
    );
  });
});
