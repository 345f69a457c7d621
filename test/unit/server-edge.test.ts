/** What stands before the models: keys, origins, bodies. */
import { describe, expect, it } from 'vitest';
import { readJson } from '../../lib/server/body.js';
import { Failure } from '../../lib/server/failure.js';
import { KeyRing } from '../../lib/server/keys.js';
import { Origins } from '../../lib/server/origins.js';

const never = new AbortController().signal;
const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('keys', () => {
  const ring = new KeyRing([{ key: 'one', name: 'first' }, { key: 'zwei' }]);
  const holder = (headers: Record<string, string>) => ring.holderOf(new Headers(headers)).name;

  it('are found as bearer and as x-api-key', () => {
    expect(holder({ authorization: 'Bearer one' })).toBe('first');
    expect(holder({ authorization: 'bearer zwei' })).toBe('key-2');
    expect(holder({ 'x-api-key': 'one' })).toBe('first');
  });

  it.each([
    [{}, 'missing_api_key'],
    [{ authorization: 'Basic one' }, 'missing_api_key'],
    [{ authorization: 'Bearer on' }, 'invalid_api_key'],
    [{ authorization: 'Bearer one2' }, 'invalid_api_key'],
    [{ 'x-api-key': 'ONE' }, 'invalid_api_key'],
  ])('%j is refused', (headers, code) => {
    expect(() => holder(headers as Record<string, string>)).toThrowError(expect.objectContaining({ code }));
  });

  it('without any everybody may ask', () => {
    expect(new KeyRing([]).open).toBe(true);
    expect(new KeyRing([]).holderOf(new Headers()).name).toBe('anybody');
  });

  it('several share the queue, a single one has all of it', () => {
    expect(ring.holderOf(new Headers({ 'x-api-key': 'one' })).queueShare).toBe(0.5);
    expect(new KeyRing([{ key: 'k' }]).holderOf(new Headers({ 'x-api-key': 'k' })).queueShare).toBe(1);
  });
});

describe('origins', () => {
  const request = (origin: string | undefined, url = 'http://127.0.0.1:8080/v1/models') =>
    new Request(url, origin === undefined ? {} : { headers: { origin } });
  const open = new Origins(['https://chat.example'], true);
  const allows = (origins: Origins, one: Request) => {
    try {
      origins.check(one);
      return true;
    } catch {
      return false;
    }
  };

  it.each([
    [undefined, true],
    ['http://localhost:3000', true],
    ['http://[::1]:3000', true],
    ['https://chat.example', true],
    ['http://127.0.0.1:8080', true],
    ['https://evil.example', false],
    ['http://localhost.evil.example', false],
    ['null', false],
  ])('%s, without keys: %s', (origin, allowed) => {
    expect(allows(open, request(origin))).toBe(allowed);
  });

  it('a name that leads here is no reason to trust its page; an address is', () => {
    expect(allows(open, request('http://evil.example:8080', 'http://evil.example:8080/'))).toBe(false);
    expect(allows(open, request('http://192.168.1.5:8080', 'http://192.168.1.5:8080/'))).toBe(true);
  });

  it('a key is reason enough, but the page reads nothing', () => {
    const locked = new Origins([], false);
    expect(allows(locked, request('https://evil.example'))).toBe(true);
    expect(locked.headers(request('https://evil.example'))).toEqual({});
    expect(locked.headers(request('http://localhost'))['access-control-allow-origin']).toBe(
      'http://localhost',
    );
  });

  it('browsers that ask first are told', () => {
    expect(open.preflight(request('http://localhost:3000')).status).toBe(204);
    expect(open.preflight(request('https://evil.example')).status).toBe(403);
  });
});

describe('bodies', () => {
  const json = { 'content-type': 'application/json' };
  const read = (
    body: string | Uint8Array | ReadableStream,
    most = 1000,
    headers: Record<string, string> = json,
  ) =>
    readJson(
      new Request('http://x/', { method: 'POST', body, headers, duplex: 'half' } as RequestInit),
      most,
      never,
    );

  it('are JSON objects', async () => {
    expect(await read('{"a":1}')).toEqual({ a: 1 });
    expect(await read('{"a":1}', 1000, { 'content-type': 'application/json; charset=utf-8' })).toEqual({
      a: 1,
    });
  });

  it.each([
    ['[]', 'invalid_json'],
    ['null', 'invalid_json'],
    ['{"a":', 'invalid_json'],
    ['', 'invalid_json'],
    [new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'invalid_utf8'],
    [new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]), 'invalid_utf8'],
  ])('%s is refused', async (body, code) => {
    expect(await failureOf(read(body as string))).toMatchObject({ code, status: 400 });
  });

  it('of another type are refused: a page can send plain text unasked', async () => {
    expect(await failureOf(read('{}', 1000, { 'content-type': 'text/plain' }))).toMatchObject({
      code: 'invalid_content_type',
    });
  });

  it('beyond the bound are refused before they are read, by what they say of their length', async () => {
    let read = 0;
    const headers = new Headers({ ...json, 'content-length': '1001' });
    const arrayBuffer = async () => {
      read++;
      return new ArrayBuffer(0);
    };
    const request = { headers, arrayBuffer } as unknown as Request;
    expect(await failureOf(readJson(request, 1000, never))).toMatchObject({ status: 413 });
    expect(read).toBe(0);
  });

  it('that say nothing are read up to the bound and no further', async () => {
    let made = 0;
    const endless = new ReadableStream({
      pull: (controller) => {
        made++;
        controller.enqueue(new Uint8Array(100).fill(0x20));
      },
    });
    expect(await failureOf(read(endless))).toMatchObject({ status: 413 });
    expect(made).toBeLessThan(20);
  });

  it('that never end are left at the deadline', async () => {
    const stop = new AbortController();
    const silent = new ReadableStream({ pull: () => new Promise(() => {}) });
    const request = new Request('http://x/', {
      method: 'POST',
      body: silent,
      headers: json,
      duplex: 'half',
    } as RequestInit);
    const outcome = failureOf(readJson(request, 1000, stop.signal));
    stop.abort(new Failure('timeout', 'late'));
    expect(await outcome).toMatchObject({ kind: 'timeout' });
  });
});
