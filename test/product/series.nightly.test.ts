/** `npm run series` of SmolLM2: twenty pages that open, each with what its part shows. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needsSmollm2, smollm2 } from '../model/smollm2-model.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { writeSeries } from './series.js';
import { PageReader } from './trace-page-reader.js';

const missing = !hasChromium || smollm2 === undefined;

describe.skipIf(missing)(`the series of SmolLM2${needsChromium}${needsSmollm2}`, () => {
  let folder = '';
  let browser: Browser;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-series-'));
    browser = await startChromium();
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  it('has a page for each part, with its pictures', { timeout: 600_000 }, async () => {
    const pages = await writeSeries('smollm2-135m', folder);
    for (const [i, path] of pages.entries()) {
      expect(statSync(path).size).toBeLessThan(20e6);
      const reader = await PageReader.open(browser, path);
      for (const layer of [0, 29]) {
        await reader.goTo({ part: i + 1, layer, head: 3 });
        const text = await reader.page.locator('#part').innerText();
        expect(text).toContain(`Part ${i + 1} of 20`);
        expect(text).not.toContain('The page holds no tensor');
        // What rounds in INT8 is apart from the arithmetic on purpose, and says so.
        const { said = '' } = (await reader.arithmetic()) ?? {};
        if (said.includes('apart')) expect(said, `part ${i + 1}`).toMatch(/round|INT8/);
      }
      await reader.close();
    }
  });
});
