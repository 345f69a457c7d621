/** What the page shows beside its tensors, read in Chromium: where a head looks, nearest rows, the cache, experts, errors. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Trace } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { besideOf } from '../../lib/trace-page/beside.js';
import { pageTraceOptions, tracePage } from '../../lib/trace-page/trace-page.js';
import { fixtures } from '../model/golden.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { numberOf, PageReader } from './trace-page-reader.js';

const prompt = 'Once upon a time there was';

describe.skipIf(!hasChromium)(`the page${needsChromium}`, () => {
  let folder = '';
  let browser: Browser;
  let stories: Model;
  let trace: Trace;
  let reader: PageReader;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-reading-'));
    browser = await startChromium();
    stories = await Model.load('stories-260k', { device: 'cpu' });
    const traced = tracedOf(stories);
    trace = await stories.trace(prompt, { ...pageTraceOptions(traced), generate: 4, neighbours: 6 });
    const path = join(folder, 'stories.html');
    writeFileSync(path, await tracePage({ info: stories.info, traced }, trace, undefined));
    reader = await PageReader.open(browser, path);
  });
  afterAll(async () => {
    await browser?.close();
    await stories?.dispose();
    rmSync(folder, { recursive: true });
  });

  it('colours the text by what a head looks at, and leads to another token', async () => {
    const { page } = reader;
    await reader.goTo({ part: 6, layer: 2, head: 5, token: 6 });
    const titles = (): Promise<string[]> =>
      page.locator('.looked').evaluateAll((all) => all.map((one) => one.getAttribute('title')!));
    const shares = (await titles()).map((title) => title.replace(/^\S+ \S+: /, ''));
    const weights = trace.get('layers.2.weights').at(5, 6);
    for (const [key, share] of shares.entries()) {
      if (key > 6) expect(share).toBe('not seen');
      else expect(Math.abs(numberOf(share) / 100 - weights[key]!)).toBeLessThan(0.006);
    }
    await page.locator('.looked').nth(3).click();
    expect(await page.evaluate<string>('location.hash')).toContain('token=3');
    expect((await titles()).filter((title) => title.endsWith('not seen'))).toHaveLength(
      trace.tokens.length - 4,
    );
  });

  it('names the rows of the token table that are nearest to the stream, layer after layer', async () => {
    const position = 4;
    await reader.goTo({ part: 16, layer: 1, token: position });
    const rows = await reader.page
      .locator('.nearest tr')
      .evaluateAll((all) =>
        all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)),
      );
    const expected = trace.neighbours.filter((one) => one.position === position);
    expect(rows).toHaveLength(stories.info.layers + 1);
    for (const [i, { nearest }] of expected.entries()) {
      const shown = nearest.map(({ text, cosine }) => {
        const spelled = text === '' ? '∅' : text.replaceAll(' ', '·').replaceAll('\n', '⏎');
        return `${spelled} ${String(Number(Number(cosine.toPrecision(3)).toPrecision(2))).replace('-', '−')}`;
      });
      expect(rows[i], `row ${i}`).toEqual(shown);
    }
  });

  it('plays how the cache fills: the prompt at once, then a token a step', async () => {
    const { page } = reader;
    await reader.goTo({ part: 20 });
    const prompted = trace.tokens.filter(({ generated }) => !generated).length;
    const said = () => page.locator('.decoding .readout').textContent();
    expect(await said()).toContain(`Step 1 of 5. The ${prompted} tokens of the prompt`);
    const slider = page.locator('.decoding input');
    await slider.focus();
    await page.keyboard.press('End');
    const heads = 4;
    const numbers = (trace.tokens.length * stories.info.layers * 2 * heads * 8) / 1000;
    expect(await said()).toContain(`reads those of the ${trace.tokens.length - 1} before it.`);
    expect(await said()).toContain(`Numbers held: ${Number(numbers.toPrecision(3))} k.`);
    await page.locator('.decoding button').click();
    await expect.poll(said).toContain('Step 2 of 5.');
    await expect.poll(said, { timeout: 10_000 }).toContain('Step 5 of 5.');
    await expect.poll(() => page.locator('.decoding button').textContent()).toBe('Play');
  });

  it('shows which experts a token goes through, and how busy they are', async () => {
    await using model = await Model.load(`${fixtures}families/mixtral`, { device: 'cpu', dtype: 'fp32' });
    const traced = tracedOf(model);
    const ids = Int32Array.of(3, 17, 5, 60, 41, 8, 29, 11);
    const routed = await model.trace(ids, pageTraceOptions(traced));
    const path = join(folder, 'experts.html');
    writeFileSync(path, await tracePage({ info: model.info, traced }, routed, undefined));
    const experts = await PageReader.open(browser, path);
    await experts.goTo({ part: 13, layer: 1, token: 5 });
    const used = routed.get('layers.1.experts_used');
    const shown = await experts.values('Which experts each token');
    const expected = Array.from(ids, (_, token) =>
      Array.from({ length: 6 }, (_, expert) => {
        const rank = used.at(token).indexOf(expert);
        return rank < 0 ? Number.NaN : 2 - rank;
      }),
    ).flat();
    expect(shown).toEqual(expected);
    const busy = await experts.page.locator('.bars tr').allTextContents();
    const most = Math.max(
      ...Array.from({ length: 6 }, (_, expert) => used.values.filter((one) => one === expert).length),
    );
    expect(busy[0]).toMatch(new RegExp(`^expert \\d${most}$`));
    const router = (await experts.arithmetic())!;
    expect(router.name).toMatch(/^router\[5, \d\]$/);
    expect(router.said).not.toContain('apart');
    await experts.close();
  });

  it('says at which token an error of INT8 is', async () => {
    await using exact = await Model.load('stories-260k', { device: 'cpu', dtype: 'fp32' });
    const traced = tracedOf(exact);
    const ids = Int32Array.from(trace.tokens, ({ id }) => id);
    const options = pageTraceOptions(traced);
    const reference = { name: 'fp32', traced, trace: await exact.trace(ids, options) };
    const other = { name: 'int8', traced: tracedOf(stories), trace: await stories.trace(ids, options) };
    const beside = await besideOf(reference, other);
    const path = join(folder, 'beside.html');
    const info = { info: stories.info, traced: other.traced };
    writeFileSync(path, await tracePage(info, other.trace, undefined, beside));
    const page = await PageReader.open(browser, path);
    expect(await page.page.locator('#part h2').textContent()).toBe('INT8 beside FP32');
    const errors = [0, 4].flatMap((layer) => {
      const [a, b] = [reference, other].map((side) => side.trace.get(`layers.${layer}.ffn_residual`));
      return Array.from(ids, (_, token) => {
        const [x, y] = [a!.at(token), b!.at(token)];
        const error = x.reduce((sum, value, i) => sum + (y[i]! - value) ** 2, 0);
        return error / x.reduce((sum, value) => sum + value * value, 0);
      });
    });
    const shown = await page.values('That error behind each layer');
    const n = ids.length;
    const own = [...shown.slice(0, n), ...shown.slice(4 * n)];
    for (const [i, error] of errors.entries()) expect(Math.abs(own[i]! / error - 1)).toBeLessThan(0.01);
    await page.close();
  });
});
