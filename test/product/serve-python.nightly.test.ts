/** `kvasir serve` over HTTP with OpenAI's client for Python, as it is. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fetchOpenAiClient } from '../../scripts/sweeps/sources.mjs';
import { RunningServer, until } from './running-server.js';

const run = promisify(execFile);
const script = fileURLToPath(new URL('openai_client.py', import.meta.url));

let server: RunningServer;
beforeAll(async () => {
  server = await RunningServer.start(['--api-key', 'secret']);
});
afterAll(() => server.stop());

it("OpenAI's client for Python reads all answers, and its classes of errors", async () => {
  const python = await fetchOpenAiClient();
  const { stdout } = await run(python, [script, server.address, 'secret']);
  const told = JSON.parse(stdout);
  expect(told.lists).toEqual({ ids: ['stories'], one: 'stories' });
  const { chats, logprobs, gathers, completes, responds } = told;
  expect(chats).toMatchObject({ finish: 'length', streamed: chats.whole, roles: ['assistant'] });
  expect(chats.whole).not.toBe('');
  expect(chats.usage[1]).toBe(chats.usage[0]);
  expect(chats.fingerprint).toMatch(/^fp_/);
  expect(logprobs).toMatchObject({ tokens: logprobs.text, tops: [3, 3, 3, 3, 3], same: true });
  expect(logprobs.most).toBeLessThanOrEqual(0);
  expect(gathers.deltas).toBe(gathers.final);
  expect(gathers.final.startsWith(chats.whole)).toBe(true);
  expect(completes.streamed).toBe(completes.whole);
  expect(told.embeds).toEqual({ sizes: [64, 64], far: 0 });
  expect(responds).toMatchObject({ ids: ['resp_', 'msg_'], deltas: responds.whole, last: responds.whole });
  expect(responds.final).toEqual(['completed', expect.stringMatching(/^[xy]$/)]);
  expect(told.calls).toEqual([
    ['tell', {}],
    ['tell', {}],
  ]);
  expect(told.parses).toMatchObject({ type: 'Person', name: expect.any(String), age: expect.any(Number) });
  expect(told.fails).toEqual({
    wrong: ['BadRequestError', 400, 'temperature', 'invalid_value'],
    unknown: ['NotFoundError', 404, 'model', 'model_not_found'],
    stranger: ['AuthenticationError', 401, null, 'invalid_api_key'],
    long: ['BadRequestError', 400, null, 'context_length_exceeded'],
    late: ['APITimeoutError'],
  });
  expect(told.raw).toEqual({ id: expect.stringMatching(/^req_/), usage: 2 });
  expect(told.at_once).toEqual({ same: true, texts: 8 });
  // Those that were left ended: nothing runs for nobody.
  await until(async () => (await server.running()) === 0);
}, 600_000);
