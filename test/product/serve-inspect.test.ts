/** `kvasir serve --inspect`: the live page, with keys and limits, and the tensors that it fetches when they are looked at. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { RunningServer } from './running-server.js';
import { PageReader } from './trace-page-reader.js';

const key = 'a-secret-key';
const prompt = 'Once upon a time there was';
let server: RunningServer;
beforeAll(async () => {
  server = await RunningServer.start(['--inspect', '--api-key', key]);
});
afterAll(() => server.stop());

const ask = (path: string, body: object, secret = key) =>
  server.post(path, body, {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${secret}` },
  });

describe('over HTTP', () => {
  it('is not there unless it is asked for', async () => {
    const other = await RunningServer.start();
    expect((await fetch(`${other.address}/inspect`)).status).toBe(404);
    for (const path of ['/v1/inspect', '/v1/inspect/rows'])
      expect((await other.post(path, { prompt })).status).toBe(404);
    await other.stop();
  });

  it('the page needs no key and may ask its own server alone; what it asks for needs one', async () => {
    const page = await fetch(`${server.address}/inspect`);
    expect(page.status).toBe(200);
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).toMatch(/script-src 'sha256-[A-Za-z0-9+/=]{44}';/);
    expect((await page.text()).replace(/\/\*\*[\s\S]*?\*\//g, '')).not.toMatch(
      /https?:\/\/(?!www\.w3\.org\/2000\/svg)/,
    );
    for (const path of ['/v1/inspect', '/v1/inspect/rows']) {
      expect((await ask(path, { prompt }, 'another')).status).toBe(401);
      expect((await fetch(server.address + path)).status).toBe(405);
    }
  });

  it.each([
    ['/v1/inspect', { prompt: 'a b c d '.repeat(40) }, 'context_length_exceeded', 'prompt'],
    ['/v1/inspect', { prompt, generate: 64 }, 'context_length_exceeded', 'prompt'],
    ['/v1/inspect', { prompt, positions: [50] }, undefined, undefined],
    ['/v1/inspect', { prompt, tensors: ['logits'] }, 'unknown_parameter', 'tensors'],
    [
      '/v1/inspect/rows',
      { tokens: Array(65).fill(5), position: 0, kind: 'f32' },
      'context_length_exceeded',
      'tokens',
    ],
    ['/v1/inspect/rows', { tokens: [5, 6], position: 2, kind: 'f32' }, undefined, 'position'],
    ['/v1/inspect/rows', { tokens: [5, 99999], position: 0, kind: 'f32' }, undefined, undefined],
    ['/v1/inspect/rows', { tokens: [5, 6], position: 0, kind: 'f64' }, 'invalid_value', 'kind'],
  ])('%s refuses %j', async (path, body, code, param) => {
    const response = await ask(path, body);
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { code: string | null; param: string | null } };
    if (code !== undefined) expect(error.code).toBe(code);
    if (param !== undefined) expect(error.param).toBe(param);
  });
});

describe.skipIf(!hasChromium)(`in Chromium${needsChromium}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser?.close());

  it('traces a text, and fetches a token that it does not hold when it is looked at', async () => {
    const page = await browser.newPage();
    const asked: string[] = [];
    const faults: string[] = [];
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => faults.push(message.text()));
    page.on('request', (request) => asked.push(request.url()));
    const address = `${server.address}/inspect?prompt=${encodeURIComponent(prompt)}&positions=0`;
    await page.goto(address);
    await page.locator('#send').click();
    // Nobody gave a key.
    await expect.poll(() => page.locator('#said').textContent()).toMatch(/key/i);
    expect(faults.filter((fault) => !fault.includes('401'))).toEqual([]);
    faults.length = 0;
    await page.locator('[name=key]').fill(key);
    await page.locator('#send').click();
    await page.waitForSelector('html[data-ready]', { state: 'attached' });
    expect(await page.locator('h1').textContent()).toBe('Inside stories');

    const model = await Model.load('stories-260k', { device: 'cpu' });
    const trace = await model.trace(prompt, { tensors: ['ffn_norm', 'q'], top: 50 });
    await model.dispose();
    const digits = (values: Float32Array): number[] =>
      Array.from(values, (one) => Number(one.toPrecision(4)));
    const norm = trace.get('layers.3.ffn_norm');
    const reader = PageReader.on(page);
    await reader.goTo({ part: 20, layer: 3, token: 0 });
    expect(await page.locator('.timeline [data-op="layer 4: gate_up"]').count()).toBe(1);
    await reader.goTo({ part: 13, layer: 3, token: 0 });
    expect(await reader.values('What it reads')).toEqual(digits(norm.at(0)));
    expect(asked).toEqual([address, `${server.address}/v1/inspect`, `${server.address}/v1/inspect`]);

    await reader.goTo({ part: 13, layer: 3, token: 4 });
    await expect
      .poll(() => reader.values('What it reads'))
      .toEqual([...digits(norm.at(0)), ...digits(norm.at(4))]);
    await page.keyboard.press('h');
    await expect
      .poll(() => reader.values('What it reads'))
      .toEqual([0, 3, 4].flatMap((position) => digits(norm.at(position))));
    await reader.goTo({ part: 7, layer: 3, head: 2, token: 3 });
    expect(await reader.values('Queries of head 2')).toEqual(
      [0, 3, 4].flatMap((position) => digits(trace.get('layers.3.q').at(2, position))),
    );
    await reader.goTo({ part: 18, token: 3 });
    expect(await page.locator('.bars button').count()).toBe(50);
    expect((await reader.arithmetic())!.said).not.toContain('apart');
    expect(asked.slice(3)).toEqual(Array(2).fill(`${server.address}/v1/inspect/rows`));
    expect(faults).toEqual([]);
    await page.close();
  });
});
