/** `kvasir serve` over HTTP: the clients that people use, and those that misbehave. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { start } from '../cli/cli-command.js';
import { RunningServer, until } from './running-server.js';

const endless = { prompt: 'Once upon a time', max_tokens: 4000, ignore_eos: true };
const mebibyte = 2 ** 20;
const hello = [{ role: 'user' as const, content: 'Once upon a time' }];

let server: RunningServer;
let openai: OpenAI;
beforeAll(async () => {
  server = await RunningServer.start(['--api-key', 'secret', '--max-body', '1']);
  openai = new OpenAI({ apiKey: 'secret', baseURL: `${server.address}/v1`, maxRetries: 0 });
});
afterAll(async () => {
  expect((await server.stop()).status).toBe(143);
});

const withKey = { 'content-type': 'application/json', authorization: 'Bearer secret' };
const post = (path: string, body: unknown) => server.post(path, body, { headers: withKey });

describe("OpenAI's own client", () => {
  it('lists models', async () => {
    const models = await openai.models.list();
    expect(models.data.map(({ id }) => id)).toEqual(['stories']);
    expect((await openai.models.retrieve('stories')).id).toBe('stories');
  });

  it('chats, whole and streamed', async () => {
    const request = { model: 'stories', messages: hello, max_completion_tokens: 12 };
    const whole = await openai.chat.completions.create(request);
    expect(whole.choices[0]!.finish_reason).toBe('length');
    expect(whole.usage!.completion_tokens).toBe(12);
    const stream = await openai.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(usage!.total_tokens).toBe(whole.usage!.total_tokens);
  });

  it('gathers a stream into a message', async () => {
    const runner = openai.chat.completions.stream({ model: 'stories', messages: hello, max_tokens: 6, n: 2 });
    const final = await runner.finalChatCompletion();
    expect(final.choices).toHaveLength(2);
    expect(final.choices[0]!.message.content).toBe(final.choices[1]!.message.content);
  });

  it('completes and embeds', async () => {
    const { choices } = await openai.completions.create({
      model: 'stories',
      prompt: 'One day',
      max_tokens: 4,
    });
    expect(choices[0]!.text).not.toBe('');
    // It asks for base64 unless told otherwise.
    const coded = await openai.embeddings.create({ model: 'stories', input: ['a dog', 'a cat'] });
    const plain = await openai.embeddings.create({
      model: 'stories',
      input: ['a dog', 'a cat'],
      encoding_format: 'float',
    });
    expect(coded.data.map(({ embedding }) => embedding)).toEqual(
      plain.data.map(({ embedding }) => embedding),
    );
    expect(plain.data[0]!.embedding).toHaveLength(64);
  });

  it('asks for responses, whole and streamed', async () => {
    const request = { model: 'stories', input: 'Once upon a time', max_output_tokens: 8 };
    const whole = await openai.responses.create(request);
    expect(whole.id).toMatch(/^resp_/);
    expect(whole.output[0]!.id).toMatch(/^msg_/);
    expect(whole.output_text).not.toBe('');
    let text = '';
    for await (const event of await openai.responses.create({ ...request, stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    expect(text).toBe(whole.output_text);
    const final = await openai.responses.stream(request).finalResponse();
    expect(final.output_text).toBe(whole.output_text);
  });

  it('hears of what is wrong in its own classes of errors', async () => {
    const ask = (body: object) =>
      openai.chat.completions.create({ model: 'stories', messages: hello, ...body } as never).catch((e) => e);
    expect(await ask({ temperature: -1 })).toBeInstanceOf(OpenAI.BadRequestError);
    expect(await ask({ temperature: -1 })).toMatchObject({
      param: 'temperature',
      type: 'invalid_request_error',
    });
    expect(await ask({ model: 'gpt-5' })).toBeInstanceOf(OpenAI.NotFoundError);
    const stranger = new OpenAI({ apiKey: 'guess', baseURL: `${server.address}/v1`, maxRetries: 0 });
    expect(await stranger.models.list().catch((e) => e)).toBeInstanceOf(OpenAI.AuthenticationError);
  });

  it('ends its run when it leaves', async () => {
    const stream = await openai.chat.completions.create({
      model: 'stories',
      messages: hello,
      max_tokens: 3900,
      stream: true,
    });
    for await (const _ of stream) break;
    await until(async () => (await server.running()) === 0);
  });
});

describe('clients that misbehave', () => {
  /** What comes until the connection ends; a reset may end it. */
  const answerOn = (socket: Socket): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      socket.setEncoding('utf8').on('data', (piece) => {
        text += piece;
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(text));
    });

  it('who vanish from the wire end their run', async () => {
    const socket = await server.connect();
    const body = JSON.stringify({ ...endless, stream: true });
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await once(socket, 'data');
    expect(await server.running()).toBe(1);
    socket.destroy();
    await until(async () => (await server.running()) === 0);
  });

  it('who send half a header, and garbage, are closed; others are served meanwhile', async () => {
    const half = await server.connect();
    half.write('POST /v1/completions HTTP/1.1\r\nHost: loc');
    const garbage = await server.connect();
    const told = answerOn(garbage);
    garbage.write('\x16\x03\x01 this is no HTTP\r\n\r\n');
    expect(await told).toMatch(/^HTTP\/1\.1 400/);
    expect((await post('/v1/completions', { prompt: 'One', max_tokens: 1 })).status).toBe(200);
    half.destroy();
  });

  it('who send 100 MB hear 413 before they have sent it', async () => {
    const socket = await server.connect();
    const told = answerOn(socket);
    let answered = false;
    socket.once('data', () => {
      answered = true;
    });
    socket.write(
      'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n',
    );
    let sent = 0;
    const piece = Buffer.alloc(65_536, 0x20);
    while (!answered && !socket.destroyed && sent < 100 * mebibyte) {
      sent += piece.length;
      // A turn of the event loop for each, so that an answer is seen.
      await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
    }
    expect(sent).toBeLessThan(100 * mebibyte);
    socket.end();
    expect(await told).toMatch(/^HTTP\/1\.1 413/);
  });

  it('who send 100 MB in pieces without a length hear 413 too', async () => {
    const socket = await server.connect();
    const told = answerOn(socket);
    let answered = false;
    socket.once('data', () => {
      answered = true;
    });
    socket.write(
      'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    let sent = 0;
    const piece = Buffer.from(`10000\r\n${' '.repeat(65_536)}\r\n`);
    while (!answered && !socket.destroyed && sent < 100 * mebibyte) {
      sent += piece.length;
      // A turn of the event loop for each, so that an answer is seen.
      await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
    }
    expect(sent).toBeLessThan(100 * mebibyte);
    socket.end();
    expect(await told).toMatch(/^HTTP\/1\.1 413/);
    expect((await post('/v1/completions', { prompt: 'One', max_tokens: 1 })).status).toBe(200);
  });

  it('who send what is no UTF-8 hear 400', async () => {
    const reply = await fetch(`${server.address}/v1/completions`, {
      method: 'POST',
      headers: withKey,
      body: Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x7d]),
    });
    expect(reply.status).toBe(400);
    expect(((await reply.json()) as { error: { code: string } }).error.code).toBe('invalid_utf8');
  });

  it('who read nothing hold back their own run, and nobody else', async () => {
    const socket = await server.connect();
    const body = JSON.stringify({ ...endless, stream: true, logprobs: 20 });
    socket.pause();
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await until(async () => (await server.running()) === 1);
    for (let i = 0; i < 5; i++) {
      expect((await post('/v1/completions', { prompt: 'One', max_tokens: 20 })).status).toBe(200);
    }
    socket.destroy();
    await until(async () => (await server.running()) === 0);
  });
});

describe('the process', () => {
  it('SIGTERM under load: what runs is finished, then it ends', async () => {
    const own = await RunningServer.start(['--max-concurrent', '2']);
    const body = { prompt: 'Once upon a time', max_tokens: 300, ignore_eos: true };
    const replies = Array.from({ length: 6 }, () => own.post('/v1/completions', body));
    await until(async () => (await own.waiting()) === 4);
    const stopped = own.stop();
    const bodies = await Promise.all(
      replies.map(async (reply) => (await (await reply).json()) as { usage: { completion_tokens: number } }),
    );
    expect(bodies.map(({ usage }) => usage.completion_tokens)).toEqual(Array(6).fill(300));
    const { status, stderr } = await stopped;
    expect(status).toBe(143);
    expect(stderr).toContain('"event":"model-unloaded"');
  });

  it('--grace bounds how long that may take', async () => {
    const own = await RunningServer.start(['--grace', '0.1']);
    const reply = own.post('/v1/completions', { ...endless, max_tokens: 4000, n: 8 });
    await until(async () => (await own.running()) === 1);
    const started = performance.now();
    own.child.kill('SIGINT');
    expect((await reply).status).toBe(503);
    expect((await own.ended()).status).toBe(130);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it('says where it listens, and logs lines of JSON', async () => {
    expect(server.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await server.logged(({ event }) => event === 'listening');
    await server.logged(({ event, status }) => event === 'request' && status === 200);
    expect(JSON.stringify(server.log)).not.toContain('Once');
  });

  it('a port that is taken, a wrong flag and a model that is none end it with a line that says so', async () => {
    const taken = await start(['serve', 'stories-260k', '--port', String(server.port)]).end();
    expect(taken.status).toBe(1);
    expect(taken.stderr).toMatch(/cannot be listened at.*\[INVALID_OPTION\]/);
    expect((await start(['serve', 'stories-260k', '--threads', '0']).end()).status).toBe(2);
    const none = await start(['serve', '/no/such/model', '--port', '0']).end();
    expect(none.status).toBe(1);
    expect(none.stderr).toContain('[MODEL_NOT_FOUND]');
  });
});
