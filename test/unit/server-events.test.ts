/** Streams of events, and how they get to Node's own response. */
import { createServer, request as ask, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { GenerationRun } from '../../lib/engine/run.js';
import type { EventSource } from '../../lib/server/event-source.js';
import { EventStream, type StreamEnds, streamResponse } from '../../lib/server/event-stream.js';
import { Failure } from '../../lib/server/failure.js';
import { writeEvents } from '../../lib/server/node-response.js';
import { RunEvents, type RunPart } from '../../lib/server/run-events.js';
import { result } from './scripted-call.js';

const never = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Events that are there at once. */
const sourceOf = (events: Generator<string, undefined>): EventSource => ({
  read: () => events.next().value,
  onNews: () => {},
  leave: () => void events.return(undefined),
});

/** Events that come when `tell` is called; without a text they are over. */
function toldSource() {
  const waiting: (string | undefined)[] = [];
  const source = {
    left: 0,
    read: () => (waiting.length > 0 ? waiting.shift() : ''),
    onNews: () => {},
    leave: () => source.left++,
    tell: (...texts: (string | undefined)[]) => {
      waiting.push(...texts);
      source.onNews();
    },
  };
  return source;
}

function* three(): Generator<string, undefined> {
  yield 'a';
  yield 'b';
  yield 'c';
  return undefined;
}
function* endless(): Generator<string, undefined> {
  for (;;) yield 'a';
}

function ends(change: Partial<StreamEnds> = {}) {
  const told: string[] = [];
  return {
    told,
    signal: never,
    ping: 'ping',
    pingMs: 10_000,
    stallMs: 10_000,
    failed: ({ message }: Failure) => `failed: ${message}`,
    onLeave: ({ message }: Failure) => told.push(`left: ${message}`),
    onEnd: (failure?: Failure) => told.push(failure ? `ended: ${failure.kind}` : 'ended'),
    ...change,
  };
}

async function begun(source: EventSource, told: StreamEnds): Promise<EventStream> {
  const stream = new EventStream(source, told);
  await stream.begin();
  return stream;
}

describe('event streams', () => {
  it('make an event when it is asked for, not before', async () => {
    let made = 0;
    function* counted(): Generator<string, undefined> {
      for (;;) yield `${made++}`;
    }
    const stream = await begun(sourceOf(counted()), ends());
    const reader = stream.body.getReader();
    await reader.read();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(made).toBe(2);
    await reader.cancel();
  });

  it('come whole, and their end is told once', async () => {
    const told = ends();
    const stream = await begun(sourceOf(three()), told);
    expect(await new Response(stream.body).text()).toBe('abc');
    expect(told.told).toEqual(['ended']);
  });

  it('ping while there is nothing to say', async () => {
    const source = toldSource();
    setTimeout(() => source.tell('b', undefined), 250);
    source.tell('a');
    const stream = await begun(source, ends({ pingMs: 100 }));
    expect(await new Response(stream.body).text()).toMatch(/^a(ping)+b$/);
  });

  it('begin when the time of a ping has passed, with a ping', async () => {
    const source = toldSource();
    const stream = await begun(source, ends({ pingMs: 30 }));
    setTimeout(() => source.tell('a', undefined), 100);
    expect(await new Response(stream.body).text()).toMatch(/^(ping)+a$/);
  });

  it('do not ping while there is much to say', async () => {
    const source = toldSource();
    source.tell('a');
    const stream = await begun(source, ends({ pingMs: 300 }));
    const timer = setInterval(() => source.tell('a'), 10);
    setTimeout(() => source.tell(undefined), 700);
    expect(await new Response(stream.body).text()).toMatch(/^a+$/);
    clearInterval(timer);
  });

  it('that fail before their first event are no streams', async () => {
    // biome-ignore lint/correctness/useYield: it fails first
    function* broken(): Generator<string, undefined> {
      throw new Failure('invalid', 'too long');
    }
    const source = toldSource();
    await expect(begun(sourceOf(broken()), ends())).rejects.toThrow('too long');
    source.read = () => {
      throw new Failure('internal', 'broke');
    };
    await expect(begun(source, ends())).rejects.toThrow('broke');
    expect(source.left).toBe(1);
  });

  it('that fail later say so', async () => {
    function* broken(): Generator<string, undefined> {
      yield 'a';
      throw new Failure('internal', 'broke');
    }
    const told = ends();
    const stream = await begun(sourceOf(broken()), told);
    expect(await new Response(stream.body).text()).toBe('afailed: broke');
    expect(told.told).toEqual(['ended: internal']);
  });

  it('are left when their reader goes, and what makes them cleans up', async () => {
    let cleaned = false;
    function* cleaning(): Generator<string, undefined> {
      try {
        for (;;) yield 'a';
      } finally {
        cleaned = true;
      }
    }
    const told = ends();
    const stream = await begun(sourceOf(cleaning()), told);
    const reader = stream.body.getReader();
    await reader.read();
    await reader.cancel();
    await turn();
    expect(cleaned).toBe(true);
    expect(told.told).toEqual(['ended: gone', 'left: The client left.']);
  });

  it('are left when their reader takes nothing for too long', async () => {
    const told = ends({ stallMs: 30 });
    const stream = await begun(sourceOf(three()), told);
    const reader = stream.body.getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(new TextDecoder().decode((await reader.read()).value)).toContain('read nothing');
    expect((await reader.read()).done).toBe(true);
    expect(told.told).toEqual(['ended: gone', 'left: The client has read nothing for too long.']);
  });

  it('that nobody ever reads are left too', async () => {
    const told = ends({ stallMs: 30 });
    await begun(sourceOf(three()), told);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(told.told[0]).toBe('ended: gone');
  });

  it('end with their request, whether or not anybody reads', async () => {
    const begin = async (source: EventSource) => {
      const stop = new AbortController();
      const told = ends({ signal: stop.signal });
      const stream = await begun(source, told);
      const reader = stream.body.getReader();
      await reader.read();
      return { stop, told: told.told, reader };
    };
    const gone = await begin(sourceOf(endless()));
    gone.stop.abort(new Failure('gone', 'The client left.'));
    expect(gone.told).toEqual(['ended: gone']);
    expect((await gone.reader.read()).done).toBe(true);
    // Who comes back after the deadline reads why there is no more.
    const late = await begin(sourceOf(endless()));
    late.stop.abort(new Failure('timeout', 'too late'));
    expect(late.told).toEqual(['ended: timeout']);
    expect(new TextDecoder().decode((await late.reader.read()).value)).toBe('failed: too late');
    expect((await late.reader.read()).done).toBe(true);
    // Who waits is told at once.
    const source = toldSource();
    source.tell('a');
    const waiting = await begin(source);
    const next = waiting.reader.read();
    waiting.stop.abort(new Failure('timeout', 'too late'));
    expect(new TextDecoder().decode((await next).value)).toBe('failed: too late');
    expect([waiting.told, source.left]).toEqual([['ended: timeout'], 1]);
  });

  it('go to a sink as long as it takes them, and on when it wants more', async () => {
    const source = toldSource();
    source.tell('a');
    const told = ends();
    const stream = await begun(source, told);
    const written: string[] = [];
    let room = 2;
    stream.pipe({ write: (text) => written.push(text) < room, end: () => written.push('end') });
    source.tell('b', 'c', undefined);
    await turn();
    expect(written).toEqual(['a', 'b']);
    expect(told.told).toEqual([]);
    room = 10;
    stream.want();
    expect(written).toEqual(['a', 'b', 'c', 'end']);
    expect(told.told).toEqual(['ended']);
  });

  it('are one text where they come at once', async () => {
    const run = new GenerationRun();
    const told = ends();
    const writer = { part: ({ chunk }: RunPart) => (chunk ? `${chunk.text};` : 'end;'), end: () => 'all' };
    run.push(1, [{ type: 'text', text: 'first' }], undefined);
    const events = new RunEvents({ runs: [run], writer, signal: never, onResults: () => {} });
    const stream = await begun(events, told);
    const written: string[] = [];
    stream.pipe({ write: (text) => written.push(text) > 0, end: () => written.push('.') });
    // What a step brings: some tokens, and the end.
    run.push(2, [{ type: 'text', text: 'a' }], undefined);
    run.push(3, [{ type: 'text', text: 'b' }], undefined);
    run.finish(result, []);
    expect(written).toEqual(['first;']);
    await turn();
    expect(written).toEqual(['first;', 'ab;end;all', '.']);
  });

  it('whose sink throws have no reader any more', async () => {
    const told = ends();
    const stream = await begun(sourceOf(endless()), told);
    const broken = () => {
      throw new Error('closed');
    };
    stream.pipe({ write: broken, end: broken });
    expect(told.told).toEqual(['ended: gone', 'left: The client left.']);
  });
});

describe("Node's own response", () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  /** A server that answers with these events, and its answer. */
  async function answered(source: EventSource, told: StreamEnds): Promise<IncomingMessage> {
    const listening = createServer(async (_, outgoing) => {
      const stream = await begun(source, told);
      const response = streamResponse(stream, { 'content-type': 'text/event-stream' });
      response.headers.set('x-request-id', 'req_1');
      expect(writeEvents(response, outgoing)).toBe(true);
    });
    server = listening;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const { port } = listening.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      ask({ port, host: '127.0.0.1' }, resolve).on('error', reject).end();
    });
  }

  async function textOf(message: IncomingMessage): Promise<string> {
    let text = '';
    for await (const piece of message.setEncoding('utf8')) text += piece;
    return text;
  }

  it('gets head and events, and its connection stays', async () => {
    const told = ends();
    const message = await answered(sourceOf(three()), told);
    expect(message.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'x-request-id': 'req_1',
      'transfer-encoding': 'chunked',
      connection: 'keep-alive',
    });
    expect(await textOf(message)).toBe('abc');
    expect(told.told).toEqual(['ended']);
  });

  it('has its head before the first event', async () => {
    const source = toldSource();
    const message = await answered(source, ends({ pingMs: 20 }));
    expect(message.statusCode).toBe(200);
    source.tell('ä', undefined);
    expect(await textOf(message)).toMatch(/^(ping)*ä$/);
  });

  it('that is full holds the events back until it drains', async () => {
    let made = 0;
    const most = 640;
    const event = 'x'.repeat(65_536);
    function* large(): Generator<string, undefined> {
      while (made < most) {
        made++;
        yield event;
      }
      return undefined;
    }
    const message = await answered(sourceOf(large()), ends());
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(made).toBeLessThan(most / 2);
    expect((await textOf(message)).length).toBe(most * event.length);
    expect(made).toBe(most);
  });

  it('whose client leaves ends what makes the events', async () => {
    const source = toldSource();
    source.tell('a');
    const told = ends();
    const message = await answered(source, told);
    message.destroy();
    while (source.left === 0) await turn();
    expect(told.told).toEqual(['ended: gone', 'left: The client left.']);
  });

  it('is left alone where the response streams no events', () => {
    expect(writeEvents(Response.json({}), undefined as never)).toBe(false);
  });
});
