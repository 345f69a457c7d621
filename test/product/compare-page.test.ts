/** The page of `kvasir compare --html`, opened in Chromium. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compare } from '../../lib/compare/compare.js';
import { comparisonPage } from '../../lib/compare/page/page.js';
import type { CompareReport } from '../../lib/compare/report.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { kvasir } from '../cli/cli-command.js';

let folder = '';
let report: CompareReport;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-page-'));
  report = await compare('stories-260k', {
    windows: 4,
    promptLengths: [16, 128],
    latencySeconds: 0,
    minSpeedup: 1e9,
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

const hostile =
  '</script><script>console.log(1)</script><img src="https://example.invalid/x" onerror="console.log(2)">';

describe.skipIf(!hasChromium)(`the page of a comparison${needsChromium}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser?.close());

  /** Opens a page and tells what it asked for and said. */
  async function open(shown: CompareReport, options: BrowserContextOptions = {}) {
    const path = join(folder, `${Math.random()}.html`);
    writeFileSync(path, comparisonPage(shown));
    const page = await browser.newPage(options);
    const said: string[] = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(error.message));
    page.on('request', (request) => said.push(request.url()));
    const address = pathToFileURL(path).href;
    await page.goto(address);
    expect(said).toEqual([address]);
    return page;
  }

  const numbersOf = (page: Page) =>
    page
      .locator('[data-path]')
      .evaluateAll((all) =>
        all.map((one) => ({ path: one.getAttribute('data-path')!, text: one.textContent! })),
      );

  it('shows the numbers of the report, asks for nothing and says nothing', async () => {
    const page = await open(report);
    const embedded = JSON.parse((await page.locator('#report').textContent())!) as unknown;
    expect(embedded).toEqual(JSON.parse(JSON.stringify(report)));
    const numbers = await numbersOf(page);
    expect(numbers.length).toBeGreaterThan(60);
    for (const { path, text } of numbers) {
      let value: unknown = embedded;
      for (const key of path.split('.')) value = (value as Record<string, unknown>)[key];
      const [number, unit] = text.replaceAll(',', '').split(' ') as [string, string | undefined];
      const scale = { '%': 100, MB: 1e-6, M: 1e-6 }[unit ?? ''] ?? 1;
      const digits = /\.(\d+)/.exec(number)?.[1]?.length ?? 0;
      const exponent = Number(/e([+-]\d+)/.exec(number)?.[1] ?? 0);
      const expected = (value as number) * scale;
      // Half of the last digit that is shown.
      const tolerance = 0.501 * 10 ** (exponent - digits) + 1e-12;
      expect(Math.abs(Number.parseFloat(number) - expected), `${path}: ${text}`).toBeLessThanOrEqual(
        tolerance,
      );
    }
    for (const path of [
      'quality.meanKl',
      'speedup.decode.ratio',
      'memory.int8.peakRss',
      'runs.3.decode',
      'sensitivity.0.kl',
    ]) {
      expect(numbers.map((one) => one.path)).toContain(path);
    }
    await page.close();
  });

  it('has its charts, and a mark for every value in them', async () => {
    const page = await open(report);
    const charts = page.locator('figure svg');
    expect(await charts.count()).toBe(8);
    for (const chart of await charts.all()) {
      const box = (await chart.boundingBox())!;
      expect(Math.min(box.width, box.height)).toBeGreaterThan(80);
    }
    const marks = (chart: string, mark: string) => page.locator(`svg[aria-label="${chart}"] ${mark}`).count();
    expect(await marks('Speedup by prompt length', 'circle')).toBe(6);
    expect(await marks('Decode by length', 'circle')).toBe(4);
    expect(await marks('KL histogram', 'rect')).toBe(report.quality!.klHistogram.length);
    expect(await marks('Memory', 'rect')).toBe(8);
    expect(await marks('KL by layer', 'rect')).toBe(6);
    expect(await marks('Error by layer and linear', 'circle')).toBe(5 * 5);
    // The largest bin is the highest bar.
    const heights = await page
      .locator('svg[aria-label="KL histogram"] rect')
      .evaluateAll((all) => all.map((bar) => Number(bar.getAttribute('height'))));
    const counts = report.quality!.klHistogram.map(({ count }) => count);
    expect(heights.indexOf(Math.max(...heights))).toBe(counts.indexOf(Math.max(...counts)));
    await page.close();
  });

  it('fits a phone, and is dark where that is wanted, but never on paper', async () => {
    const page = await open(report, { viewport: { width: 360, height: 700 }, colorScheme: 'dark' });
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBe(360);
    const ground = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    expect(await ground()).toBe('rgb(20, 24, 31)');
    await page.emulateMedia({ media: 'print' });
    expect(await ground()).toBe('rgb(255, 255, 255)');
    await page.emulateMedia({ media: 'screen', colorScheme: 'light' });
    expect(await ground()).toBe('rgb(255, 255, 255)');
    await page.close();
  });

  it('takes names for text, whatever they hold', async () => {
    const page = await open({ ...report, model: hostile, text: { ...report.text, source: hostile } });
    expect(await page.title()).toContain(hostile);
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.locator('script').count()).toBe(1);
    await page.close();
  });

  it('says what is missing of an interrupted run, that a machine is noisy, and which bound is not met', async () => {
    const { quality: _, speedup: __, ...rest } = report;
    const page = await open({
      ...rest,
      runs: [],
      speedupByLength: [],
      memory: {},
      layers: [],
      sensitivity: [],
      layersSkipped: 'There was no room.',
      complete: false,
      missing: ['latency', 'quality', 'memory'],
      machine: { ...report.machine, noisy: true, spread: 0.5, interleaved: false },
    });
    const text = await page.locator('body').innerText();
    expect(text).toContain('Missing or not whole: latency, quality, memory.');
    expect(text).toContain('lie 50 % apart, more than 10 %');
    expect(text).toContain('There was no room.');
    expect(text).toContain('Only one mode fits in memory');
    expect(text).toMatch(/Not met: The speedup of int8 over fp32 is [\d.]+/);
    await page.close();
  });
});

describe('kvasir compare --html', () => {
  const args = ['compare', 'stories-260k', '--windows', '1', '--only', 'quality', '--json'];

  it('writes the page of the very report that it prints', async () => {
    const path = join(folder, 'written.html');
    writeFileSync(path, 'an older page');
    const { status, stdout } = await kvasir([...args, '--html', path]);
    expect(status).toBe(0);
    expect(readFileSync(path, 'utf8')).toBe(comparisonPage(JSON.parse(stdout) as CompareReport));
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('refuses a place that it cannot write to, before any work, and leaves nothing behind', async () => {
    for (const path of [folder, join(folder, 'missing', 'x.html'), '/proc/x.html']) {
      const before = readdirSync(folder);
      const { status, stdout, stderr } = await kvasir([...args, '--html', path]);
      expect(status).toBe(2);
      expect(stdout).toMatch(/INVALID_OPTION/);
      expect(stderr).toMatch(/--html .*(is not a file|cannot be written)/);
      expect(readdirSync(folder)).toEqual(before);
    }
    const before = readdirSync(folder);
    const page = join(folder, 'none.html');
    expect((await kvasir(['compare', './no-such-model', '--html', page])).status).toBe(1);
    expect(readdirSync(folder)).toEqual(before);
  });
});
