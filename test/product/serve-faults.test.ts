/** `kvasir serve` that is told to end while it streams: what runs is finished, what stalls is not waited for. */
import { expect, it } from 'vitest';
import { eventsOf } from '../model/served.js';
import { RunningServer, until } from './running-server.js';

const streamed = { prompt: 'Once upon a time', max_tokens: 200, ignore_eos: true, stream: true };
const usage = { stream_options: { include_usage: true } };

it('SIGTERM under load: streams that run and that wait come to their ends, and nobody new is let in', async () => {
  const server = await RunningServer.start(['--max-concurrent', '2']);
  const texts = Array.from({ length: 6 }, async () => {
    const reply = await server.post('/v1/completions', { ...streamed, ...usage });
    expect(reply.status).toBe(200);
    return reply.text();
  });
  await until(async () => (await server.waiting()) === 4);
  const stopped = server.stop();
  // As soon as it listens no more.
  await until(() =>
    server.connect().then(
      (socket) => {
        socket.destroy();
        return false;
      },
      () => true,
    ),
  );
  for (const text of await Promise.all(texts)) {
    const events = eventsOf(text);
    expect(events.at(-1)!.data).toBe('[DONE]');
    expect(events.at(-2)!.data.usage.completion_tokens).toBe(200);
  }
  const { status, stderr } = await stopped;
  expect(status).toBe(143);
  expect(stderr).toContain('"event":"model-unloaded"');
}, 60_000);

it('SIGTERM with a grace: a stream that runs longer is told, one that nobody reads is not waited for', async () => {
  const server = await RunningServer.start(['--grace', '0.3']);
  const endless = { ...streamed, max_tokens: 4000, n: 4, logprobs: 20 };
  const body = JSON.stringify(endless);
  const socket = await server.connect();
  socket.on('error', () => {});
  socket.pause();
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const reply = await server.post('/v1/completions', endless);
  await until(async () => (await server.running()) === 2);
  const started = performance.now();
  const stopped = server.stop();
  const events = eventsOf(await reply.text());
  expect(events.at(-1)!.data.error).toMatchObject({ code: 'shutting_down' });
  expect((await stopped).status).toBe(143);
  expect(performance.now() - started).toBeLessThan(8000);
  socket.destroy();
}, 60_000);
