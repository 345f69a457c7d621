/** `kvasir serve` and a client that begins a request and never goes on: it is told so, and closed. */
import { expect, it } from 'vitest';
import { RunningServer } from './running-server.js';

it('half a header is waited for 20 seconds, and looked for every 5', async () => {
  const server = await RunningServer.start();
  const socket = await server.connect();
  const started = performance.now();
  let told = '';
  socket.setEncoding('utf8').on('data', (text) => {
    told += text;
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write('POST /v1/completions HTTP/1.1\r\nHost: loc');
  await closed;
  expect(told).toMatch(/^HTTP\/1\.1 408 /);
  const seconds = (performance.now() - started) / 1000;
  expect(seconds).toBeGreaterThan(19);
  expect(seconds).toBeLessThan(40);
  expect((await server.post('/v1/completions', { prompt: 'One', max_tokens: 1 })).status).toBe(200);
  await server.stop();
}, 120_000);
