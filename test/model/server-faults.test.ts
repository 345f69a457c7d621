/** What goes wrong in the middle: a model that fails, a client that stalls, over requests and over Node's own response. */
import { once } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tracedOf } from '../../lib/model.js';
import type { LogEntry } from '../../lib/server/index.js';
import { writeEvents } from '../../lib/server/node-response.js';
import { type Body, eventsOf, post, Served } from './served.js';

const messages = [{ role: 'user', content: 'Once upon a time' }];
const prompt = 'Once upon a time';

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('It never comes true.');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('a model that fails in the middle', () => {
  let served: Served;
  const log: LogEntry[] = [];
  beforeAll(async () => {
    served = await Served.start({ log: (entry) => log.push(entry) });
  });
  afterAll(() => served.stop());

  /** Its next step fails, those after it do not. */
  function breakNextStep(): void {
    const native = tracedOf(served.model).inspection as { step?: unknown };
    const value = () => {
      delete native.step;
      return Promise.reject(new Error('a wire came loose at /secret/path'));
    };
    Object.defineProperty(native, 'step', { value, configurable: true });
  }

  const faults: [string, object, (last: { event: string | undefined; data: Body }) => unknown][] = [
    ['/v1/completions', { prompt }, ({ data }) => data.error.type],
    ['/v1/chat/completions', { messages }, ({ data }) => data.error.type],
    ['/v1/messages', { messages, max_tokens: 1 }, ({ data, event }) => event === 'error' && data.error.type],
    ['/v1/responses', { input: prompt }, ({ data, event }) => event === 'error' && data.code],
  ];
  const lengthOf = (path: string) => (path === '/v1/responses' ? 'max_output_tokens' : 'max_tokens');

  it.each(faults)('%s: its stream tells what it has, and that it broke', async (path, given, typeOf) => {
    log.length = 0;
    const body = { ...given, [lengthOf(path)]: 500, stream: true };
    const response = await post(served.handler, path, body);
    const reader = response.body!.getReader();
    let text = new TextDecoder().decode((await reader.read()).value);
    breakNextStep();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      text += new TextDecoder().decode(next.value);
    }
    const events = eventsOf(text);
    expect(events.length).toBeGreaterThan(1);
    expect(typeOf(events.at(-1)!)).toMatch(/^(server|api)_error$/);
    expect(text).not.toContain('[DONE]');
    expect(text).not.toContain('/secret');
    expect(log).toMatchObject([{ status: 500, cause: expect.stringContaining('/secret/path') }]);
    expect((await served.get('/health')).body.running).toBe(0);
  });

  it.each(faults)(
    '%s: who waits for the whole hears of a fault, and the next one is answered',
    async (path, given) => {
      const body = { ...given, [lengthOf(path)]: 50 };
      breakNextStep();
      const broken = await served.post(path, body);
      expect(broken).toMatchObject({
        status: 500,
        body: { error: { type: expect.stringMatching(/_error$/) } },
      });
      expect(JSON.stringify(broken.body)).not.toContain('/secret');
      expect((await served.post(path, body)).status).toBe(200);
    },
  );

  it('of several streamed answers to one request all end with it', async () => {
    const body = { prompt, max_tokens: 500, n: 4, stream: true };
    const response = await post(served.handler, '/v1/completions', body);
    const reader = response.body!.getReader();
    await reader.read();
    breakNextStep();
    let text = '';
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      text += new TextDecoder().decode(next.value);
    }
    expect(eventsOf(text).filter(({ data }) => data.error)).toHaveLength(1);
    expect((await served.get('/health')).body.running).toBe(0);
  });
});

describe('a client that stalls', () => {
  let served: Served;
  let server: Server;
  const log: LogEntry[] = [];
  beforeAll(async () => {
    served = await Served.start({ stallMs: 300, log: (entry) => log.push(entry) });
    server = createAdaptorServer({
      fetch: async (request, { outgoing }) => {
        const response = await served.handler(request);
        return writeEvents(response, outgoing as ServerResponse) ? RESPONSE_ALREADY_SENT : response;
      },
      overrideGlobalObjects: false,
    }) as Server;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await served.stop();
  });

  // More than the buffers of a connection hold.
  const much = { prompt, max_tokens: 3900, ignore_eos: true, logprobs: 20, n: 8, stream: true };

  it('is left after so long, and reads why when it comes back', async () => {
    const body = JSON.stringify(much);
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
    await once(socket, 'readable');
    await until(() => log.length > 0);
    expect(log).toMatchObject([{ status: 499, error: expect.stringContaining('read nothing for too long') }]);
    expect((await served.get('/health')).body.running).toBe(0);
    let text = '';
    socket.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
    await once(socket, 'close');
    expect(text).toMatch(/read nothing for too long.*\r?\n\r?\n\r\n0\r\n\r\n$/s);
  }, 60_000);

  it('but reads on in time gets all of it', async () => {
    log.length = 0;
    const { port } = server.address() as AddressInfo;
    const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...much, n: 1, max_tokens: 400 }),
    });
    const reader = response.body!.getReader();
    let text = '';
    for (let turns = 0; ; turns++) {
      const { done, value } = await reader.read();
      if (done) break;
      text += new TextDecoder().decode(value);
      if (turns % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const events = eventsOf(text);
    expect(events.at(-1)!.data).toBe('[DONE]');
    const tokens = events.flatMap(({ data }) => data.choices?.[0]?.logprobs?.tokens ?? []);
    expect(tokens).toHaveLength(400);
    expect(log).toMatchObject([{ status: 200, completionTokens: 400 }]);
  });
});
