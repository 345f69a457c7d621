/** The page of the server: its parts over HTTP, and the page in Chromium as somebody uses it. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { RunningServer, until } from './running-server.js';

let server: RunningServer;
beforeAll(async () => {
  server = await RunningServer.start(['--with-fp32']);
});
afterAll(() => server.stop());

/** A model may be loaded meanwhile, beside busy neighbours. */
const slow = { timeout: 30_000 };

const get = (path: string) => fetch(`${server.address}${path}`);

describe('the parts', () => {
  it('are all there, and name nothing that is elsewhere', async () => {
    const page = await get('/');
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const html = await page.text();
    const open = [...html.matchAll(/(?:href|src)="(assets\/[^"]+)"/g)].map(([, path]) => path!);
    expect(open).toEqual(['assets/style.css', 'assets/main.js']);
    const seen = new Set<string>(open);
    for (const path of seen) {
      const part = await get(`/${path}`);
      expect(part.status, path).toBe(200);
      expect(part.headers.get('content-type'), path).toMatch(
        path.endsWith('.css') ? /^text\/css/ : /^text\/javascript/,
      );
      const text = await part.text();
      if (path !== 'assets/marked.js') expect(text, path).not.toMatch(/https?:\/\/(?!$)[a-z]/);
      for (const [, name] of text.matchAll(/from ["'](?:\.\/)?([\w.-]+)["']/g)) {
        seen.add(`assets/${name === 'marked' ? 'marked.js' : name}`);
      }
    }
    expect(seen.size).toBeGreaterThan(8);
    expect(html).not.toMatch(/https?:/);
  });

  it('have a policy that lets the page ask this server alone', async () => {
    for (const path of ['/', '/assets/main.js']) {
      const policy = (await get(path)).headers.get('content-security-policy')!;
      expect(policy).toContain("default-src 'none'");
      expect(policy).toMatch(/script-src 'self' 'sha256-[A-Za-z0-9+/=]{44}';/);
      expect(policy).not.toContain('unsafe');
      expect(policy).not.toContain('*');
    }
  });

  it.each([
    '/assets/package.json',
    '/assets/..%2f..%2fpackage.json',
    '/assets/%2e%2e/package.json',
    '/assets/',
  ])('%s is none', async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  it('need no key, what the page asks for does; --no-page leaves it out', async () => {
    const closed = await RunningServer.start(['--api-key', 'secret', '--no-page']);
    expect((await fetch(closed.address)).status).toBe(404);
    await closed.stop();
    const keyed = await RunningServer.start(['--api-key', 'secret']);
    expect((await fetch(keyed.address)).status).toBe(200);
    expect((await fetch(`${keyed.address}/v1/models`)).status).toBe(401);
    await keyed.stop();
  });
});

/** A streamed chat, as the server writes it. */
function events(...deltas: object[]): string {
  const all = deltas.map((delta) => ({ choices: [{ delta, logprobs: null, finish_reason: null }] }));
  return `${all.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`;
}

const hostile = '<img src="https://example.invalid/x" onerror="alert(1)"> <script>alert(2)</script>';
const markdown = `# Title\n\n**bold** and \`code\` ${hostile}\n\n![a picture](https://example.invalid/p.png) [bad](javascript:alert(3))\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n\`\`\`js\nlet x = 1 < 2;\n\`\`\`\n`;

describe.skipIf(!hasChromium && process.env.KVASIR_NIGHTLY !== '1')(`in Chromium${needsChromium}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser?.close());

  /** Opens the page; what it asked others for, and what it complained of, must be nothing. */
  async function open(options: BrowserContextOptions = {}): Promise<{ page: Page; close(): Promise<void> }> {
    const page = await browser.newPage(options);
    const faults: string[] = [];
    page.on('console', (message) => faults.push(message.text()));
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith(`${server.address}/`) && !request.url().startsWith('data:'))
        faults.push(request.url());
    });
    await page.goto(`${server.address}/`);
    await page.locator('#model option').first().waitFor({ state: 'attached' });
    return {
      page,
      close: async () => {
        expect(faults).toEqual([]);
        await page.close();
      },
    };
  }

  async function say(page: Page, text: string): Promise<void> {
    await page.locator('#prompt').fill(text);
    await page.locator('#prompt').press('Enter');
  }

  it('answers, streams, shows figures, and goes on with the conversation', async () => {
    const { page, close } = await open();
    await page.locator('input[name=max_tokens]').fill('24');
    await page.locator('#system').fill('Tell stories.');
    await say(page, 'Once upon a time');
    await page.locator('.figures', { hasText: '24 out' }).waitFor();
    expect((await page.locator('.assistant .body').last().innerText()).length).toBeGreaterThan(20);
    const asked = page.waitForRequest('**/v1/chat/completions');
    await say(page, 'And then?');
    const { messages, max_tokens } = (await asked).postDataJSON();
    expect(messages.map(({ role }: { role: string }) => role)).toEqual([
      'system',
      'user',
      'assistant',
      'user',
    ]);
    expect(max_tokens).toBe(24);
    await page.locator('.turn.user').nth(1).waitFor();
    await close();
  });

  it('stops by Escape and by its button, and the run ends', async () => {
    const { page, close } = await open();
    /** Whether it came before the end of the answer, which takes a fraction of a second. */
    const stopped = async (stop: () => Promise<void>): Promise<boolean> => {
      await page.locator('#new-chat').click();
      await say(page, 'Once upon a time');
      await page.locator('.assistant').last().locator('.body p').first().waitFor();
      await stop();
      await page.locator('#log[aria-busy=false]').waitFor();
      return (await page.locator('.figures').last().innerText()).includes('Stopped.');
    };
    const byKey = () => page.keyboard.press('Escape');
    const byButton = () => page.locator('#stop').dispatchEvent('click');
    for (const stop of [byKey, byButton]) {
      await expect.poll(() => stopped(stop), slow).toBe(true);
      await until(async () => (await server.running()) === 0);
    }
    await close();
  });

  it('shows tokens with probabilities, by pointer and by keys', async () => {
    const { page, close } = await open();
    await page.locator('#logprobs').check();
    await page.locator('input[name=max_tokens]').fill('8');
    await say(page, 'Once upon a time');
    const tokens = page.locator('.tokens span');
    await expect.poll(() => tokens.count(), slow).toBe(8);
    await tokens.nth(2).hover();
    const detail = page.locator('.detail');
    expect(await detail.innerText()).toMatch(/%, log-probability -?\d+\.\d{3}\. Most probable: /);
    const before = await detail.innerText();
    await page.locator('.tokens').press('ArrowRight');
    expect(await detail.innerText()).not.toBe(before);
    await close();
  });

  it('reads Markdown, takes markup for text, shows thoughts and calls, and tells what the tools gave', async () => {
    const { page, close } = await open();
    const call = { index: 0, id: 'x', function: { name: 'add', arguments: '{"a":1}' } };
    let bodies: { messages: object[]; tools?: object[] }[] = [];
    await page.route('**/v1/chat/completions', async (route) => {
      bodies = [...bodies, route.request().postDataJSON()];
      const pieces = (markdown.match(/[\s\S]{1,7}/g) ?? []).map((content) => ({ content }));
      const first = [{ reasoning_content: 'I *think*.' }, ...pieces, { tool_calls: [call] }];
      await route.fulfill({
        contentType: 'text/event-stream',
        body: events(...(bodies.length === 1 ? first : [{ content: 'Done.' }])),
      });
    });
    await page.locator('#tools').fill('[{"type": "function", "function": {"name": "add"}}]');
    await say(page, 'Hi');
    const body = page.locator('.assistant > .body');
    await body.locator('table td').first().waitFor();
    expect(
      await page.locator('.assistant img, .assistant script, .assistant a[href^="javascript"]').count(),
    ).toBe(0);
    expect(await body.innerText()).toContain(hostile);
    expect(await body.locator('strong').innerText()).toBe('bold');
    expect(await body.locator('pre').innerText()).toBe('let x = 1 < 2;');
    expect(await body.locator('li').allInnerTexts()).toEqual(['one', 'two']);
    expect(await body.locator('a').getAttribute('href')).toBe('https://example.invalid/p.png');
    await page.locator('details summary').click();
    expect(await page.locator('details em').innerText()).toBe('think');
    expect(await page.locator('.call').innerText()).toMatch(/Calls add\s*\{\s*"a": 1\s*\}/);
    expect(bodies[0]!.tools).toHaveLength(1);
    await page.getByLabel('Result of add').fill('3');
    await page.getByRole('button', { name: 'Send results' }).click();
    await page.getByText('Done.').first().waitFor();
    expect(bodies[1]!.messages.at(-1)).toEqual({ role: 'tool', tool_call_id: 'x', content: '3' });
    await close();
  });

  it('has FP32 beside INT8, and what the server does', async () => {
    const { page, close } = await open();
    await page.locator('#beside').selectOption('stories-fp32');
    await page.locator('input[name=max_tokens]').fill('12');
    await say(page, 'Once upon a time');
    await expect.poll(() => page.locator('.pair .figures', { hasText: '12 out' }).count(), slow).toBe(2);
    const server = page.locator('#server');
    await expect.poll(() => server.innerText(), slow).toMatch(/stories-fp32\s+llama, FP32, cpu, \S+, \d+ MB/);
    expect(await server.innerText()).toMatch(
      /Running\s+\d+\s+Waiting\s+\d+\s+Memory\s+\d+ MB\s+Generated\s+\d+ tokens/,
    );
    await close();
  });

  it('says what is wrong', async () => {
    const { page, close } = await open();
    await page.locator('#tools').fill('nonsense');
    await page.locator('#tools').blur();
    expect(await page.locator('#tools-problem').innerText()).toContain('No tools are sent');
    await page.locator('#tools').fill('');
    await page.route('**/v1/chat/completions', (route) =>
      route.fulfill({
        status: 200,
        contentType: 'text/event-stream',
        body: 'data: {"error": {"message": "It broke."}}\n\n',
      }),
    );
    await say(page, 'Hi');
    await page.getByRole('alert').filter({ hasText: 'It broke.' }).waitFor();
    await close();
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
    ['dark', 360],
  ] as const)('fits: %s, %d wide', async (colorScheme, width) => {
    const { page, close } = await open({ colorScheme, viewport: { width, height: 740 } });
    const ground = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    expect(ground).toBe(colorScheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(20, 24, 31)');
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBe(width);
    const isPhone = width < 700;
    expect(await page.locator('#panel').isVisible()).toBe(!isPhone);
    if (isPhone) await page.locator('#toggle-panel').click();
    expect(await page.locator('#panel').isVisible()).toBe(true);
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBe(width);
    await close();
  });

  it('names every control for a screen reader, and is used by keys alone', async () => {
    const { page, close } = await open();
    const unnamed = await page.evaluate<string[]>(
      `[...document.querySelectorAll('button, input, select, textarea')]
        .filter((one) => (one.labels?.length ?? 0) === 0 && !one.ariaLabel && one.textContent.trim() === '')
        .map((one) => one.outerHTML)`,
    );
    expect(unnamed).toEqual([]);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await page.evaluate<string>('document.activeElement.id')).toBe('prompt');
    await close();
  });
});
