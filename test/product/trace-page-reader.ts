/** Reads the page of `kvasir inspect --html` in Chromium, as its reader does: what is on the screen. */
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';

export interface Place {
  part: number;
  layer?: number;
  head?: number;
  token?: number;
}

/** '−1.5e−7' as the page writes numbers; what is no number is NaN. */
export function numberOf(text: string): number {
  return Number.parseFloat(text.replaceAll('−', '-').replace('∞', 'Infinity'));
}

export class PageReader {
  private constructor(readonly page: Page) {}

  /** Fails for anything that the page asks for or complains of. */
  static async open(
    browser: Browser,
    path: string,
    options: BrowserContextOptions = {},
  ): Promise<PageReader> {
    const page = await browser.newPage(options);
    const said: string[] = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(error.message));
    page.on('request', (request) => said.push(request.url()));
    const address = pathToFileURL(path).href;
    await page.goto(address);
    await page.waitForSelector('html[data-ready]', { state: 'attached' });
    expect(said).toEqual([address]);
    page.on('pageerror', (error) => expect.fail(error.message));
    return new PageReader(page);
  }

  /** Of a page that is open already. */
  static on(page: Page): PageReader {
    return new PageReader(page);
  }

  async goTo({ part, layer = 0, head = 0, token }: Place): Promise<void> {
    const address = `#part=${part}&layer=${layer}&head=${head}${token === undefined ? '' : `&token=${token}`}`;
    await this.page.evaluate<void>(`new Promise((done) => {
      if (location.hash === ${JSON.stringify(address)}) return done();
      addEventListener('hashchange', () => setTimeout(done), { once: true });
      location.hash = ${JSON.stringify(address)};
    })`);
    await this.page.waitForSelector(`[data-keep="part${part}"][aria-current]`, { state: 'attached' });
  }

  /** Row after row, the values of the picture whose title begins so, out of its table. */
  values(title: string): Promise<number[]> {
    const script = `(() => {
      const figure = [...document.querySelectorAll('figure')].find((one) => one.querySelector('figcaption').textContent.startsWith(${JSON.stringify(title)}));
      if (!figure) throw new Error('There is no picture ' + ${JSON.stringify(title)});
      const details = figure.querySelector('details');
      if (!details.open) { details.open = true; details.dispatchEvent(new Event('toggle')); }
      return [...details.querySelectorAll('tbody td')].map((cell) => cell.textContent);
    })()`;
    return this.page.evaluate<string[]>(script).then((texts) => texts.map(numberOf));
  }

  /** What the arithmetic of the cell gives and what it says of the trace. */
  async arithmetic(): Promise<{ name: string; computed: number; said: string } | undefined> {
    const result = this.page.locator('.arithmetic .result');
    if ((await result.count()) === 0) return undefined;
    const text = (await result.textContent())!;
    const name = (await this.page.locator('.arithmetic code').first().textContent())!;
    return { name, computed: numberOf(text.replace('= ', '')), said: text };
  }

  close(): Promise<void> {
    return this.page.close();
  }
}
