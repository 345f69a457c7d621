/** `npm run series` of the embedded nano-GPT: each page shows what its part of the whole page shows, and leads on. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { seriesFiles } from '../../lib/trace-page/series.js';
import { pageTraceOptions, tracePage } from '../../lib/trace-page/trace-page.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { writeSeries } from './series.js';
import { PageReader } from './trace-page-reader.js';

const parts = [
  ...['tokens', 'token-embedding', 'position-embedding', 'embedding-sum', 'layer-norm', 'self-attention'],
  ...['query-key-value', 'attention-scores', 'causal-mask', 'softmax', 'weighted-values', 'projection'],
  ...[
    'feed-forward',
    'residuals',
    'block',
    'stacking',
    'output-layer',
    'output-softmax',
    'scaling',
    'pipeline',
  ],
];

let folder = '';
let pages: string[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-series-'));
  pages = await writeSeries('nano-gpt-sort', folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** All that the part says, its tables of values open. */
function textOf(page: Page): Promise<string> {
  return page.evaluate<string>(`(() => {
    for (const details of document.querySelectorAll('#part details')) {
      if (!details.open) { details.open = true; details.dispatchEvent(new Event('toggle')); }
    }
    // Two runs take different times.
    document.querySelector('#part .timeline')?.replaceChildren('the timeline');
    return document.getElementById('part').innerText;
  })()`);
}

it('writes a page for each of the twenty parts', () => {
  expect(seriesFiles).toEqual(parts.map((name, i) => `${String(i + 1).padStart(2, '0')}-${name}.html`));
  expect(readdirSync(join(folder, 'nano-gpt-sort')).sort()).toEqual(seriesFiles);
});

describe.skipIf(!hasChromium)(`in Chromium${needsChromium}`, () => {
  let browser: Browser;
  let whole: PageReader;
  beforeAll(async () => {
    browser = await startChromium();
    await using model = await Model.load('nano-gpt-sort', { device: 'cpu' });
    const traced = tracedOf(model);
    const trace = await model.trace('CBABBC', { ...pageTraceOptions(traced), generate: 5 });
    const path = join(folder, 'whole.html');
    writeFileSync(path, await tracePage({ info: model.info, traced }, trace, undefined));
    whole = await PageReader.open(browser, path);
  });
  afterAll(() => browser?.close());

  it('each page says what its part of the whole page says, of every layer and head', {
    timeout: 180_000,
  }, async () => {
    for (const [i, path] of pages.entries()) {
      const part = i + 1;
      const reader = await PageReader.open(browser, path);
      for (const [layer, head, token] of [
        [0, 0, 10],
        [2, 1, 4],
      ] as const) {
        await whole.goTo({ part, layer, head, token });
        await reader.goTo({ part, layer, head, token });
        const text = await textOf(reader.page);
        expect(text, basename(path)).toBe(await textOf(whole.page));
        expect(text).toContain(`Part ${part} of 20`);
        expect(text).not.toContain('The page holds no tensor');
        expect(text.includes('the timeline')).toBe(part === 20);
      }
      await reader.close();
    }
  });

  it('leads to the next page, at the same place, and back', async () => {
    const reader = await PageReader.open(browser, pages[6]!);
    const { page } = reader;
    await reader.goTo({ part: 7, layer: 1, head: 2, token: 3 });
    const arrived = (file: string) => page.waitForURL((url) => url.pathname.endsWith(file));
    await page.keyboard.press('n');
    await arrived('08-attention-scores.html');
    await page.waitForSelector('html[data-ready]', { state: 'attached' });
    expect(await page.evaluate<string>('location.hash')).toBe('#part=8&layer=1&head=2&token=3');
    await page.locator('[data-keep="part20"]').click();
    await arrived('20-pipeline.html');
    await page.locator('[data-keep="back"]').click();
    await arrived('19-scaling.html');
    await reader.close();
  });
});
