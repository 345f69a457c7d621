/** The page of `kvasir inspect --html`, read in Chromium. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { pageTraceOptions, tracePage } from '../../lib/trace-page/trace-page.js';
import type { Trace } from '../../lib/trace/trace.js';
import { kvasir } from '../cli/cli-command.js';
import { expectWithin, type GoldenTensor, readGolden, valuesOf } from '../model/golden.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { PageReader } from './trace-page-reader.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-trace-page-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes the page of a text, and gives its trace too. */
async function writePage(
  reference: string,
  dtype: 'fp32' | 'int8',
  prompt: string | Int32Array,
  positions?: number[],
): Promise<{ path: string; trace: Trace }> {
  await using model = await Model.load(reference, { device: 'cpu', dtype, kvDtype: dtype });
  const traced = tracedOf(model);
  const trace = await model.trace(prompt, pageTraceOptions(traced));
  const path = join(folder, `${Math.random()}.html`);
  writeFileSync(path, await tracePage({ info: model.info, traced }, trace, positions));
  return { path, trace };
}

describe.skipIf(!hasChromium)(`the page${needsChromium}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser?.close());

  it('shows every published tensor of nano-gpt-sort', { timeout: 180_000 }, async () => {
    const partials = readGolden<Record<string, GoldenTensor>>('nano-gpt-sort-partials.json');
    const tokens = 11;
    const ids = Int32Array.from(valuesOf(partials.idx!)).slice(0, tokens);
    const { path } = await writePage('nano-gpt-sort', 'fp32', ids);
    const reader = await PageReader.open(browser, path);
    /** Of the first text. */
    const golden = (name: string): Float32Array => {
      const { shape } = partials[name]!;
      const batch = name === 'pos_emb' ? 1 : 3;
      const size = shape.reduce((product, n) => product * n, 1) / batch;
      return (valuesOf(partials[name]!) as Float32Array).subarray(0, size);
    };
    const check = async (name: string, part: number, title: string, layer = 0): Promise<void> => {
      await reader.goTo({ part, layer });
      expectWithin(await reader.values(title), golden(name), 1e-5, name);
    };
    await check('tok_emb', 2, 'Rows of the token table');
    await check('pos_emb', 3, 'Rows of the position table');
    await check('x', 4, 'The residual stream before');
    await check('ln1', 5, 'After: what attention reads');
    await check('yProj', 12, 'What attention adds');
    await check('attnResid', 14, 'Behind attention');
    await check('ln2', 13, 'What it reads');
    await check('fc', 13, 'Up');
    await check('gelu', 13, 'act(up)');
    await check('mlp', 13, 'Down');
    await check('mlpResid', 14, 'Behind layer 0');
    await check('block1', 14, 'Behind layer 1', 1);
    await check('block2', 14, 'Behind layer 2', 2);
    await check('ln_f', 17, 'The stream behind the last layer');
    for (let head = 0; head < 3; head++) {
      const headOf = (name: string): Float32Array => {
        const all = golden(name);
        return all.subarray((head * all.length) / 3, ((head + 1) * all.length) / 3);
      };
      await reader.goTo({ part: 7, head });
      expectWithin(await reader.values(`Queries of head ${head}`), headOf('q'), 1e-5, 'q');
      expectWithin(await reader.values(`Keys of head ${head}`), headOf('k'), 1e-5, 'k');
      expectWithin(await reader.values(`Values of head ${head}`), headOf('v'), 1e-5, 'v');
      await reader.goTo({ part: 10, head });
      const weights = await reader.values('Attention weights');
      // What is not seen says 0 there.
      expectWithin(weights, headOf('attSm'), 1e-5, 'attSm');
      await reader.goTo({ part: 9, head });
      const scores = (await reader.values('Scores of head')).map((one) => (Number.isFinite(one) ? one : 0));
      const published = headOf('att').map((one) => (Number.isFinite(one) ? one : 0));
      expectWithin(scores, published, 1e-5, 'att');
      await reader.goTo({ part: 11, head });
      const y = golden('y');
      const own = Float32Array.from(
        { length: tokens * 16 },
        (_, i) => y[Math.floor(i / 16) * 48 + head * 16 + (i % 16)]!,
      );
      expectWithin(await reader.values('What head'), own, 1e-5, 'y');
    }
    const [logits, probs] = [golden('lm_head'), golden('probs')];
    for (const [part, all] of [
      [17, logits],
      [18, probs],
    ] as const) {
      for (const token of [0, 5, 10]) {
        await reader.goTo({ part, token });
        const rows = await reader.page.locator('.bars button').allTextContents();
        expect(rows).toHaveLength(3);
        for (const [i, text] of rows.entries()) {
          await reader.page.locator('.bars button').nth(i).click();
          const { computed } = (await reader.arithmetic())!;
          expect(
            Math.abs(computed - all[token * 3 + 'ABC'.indexOf(text)]!),
            `${part} ${token} ${text}`,
          ).toBeLessThan(1e-5);
        }
      }
    }
    await reader.close();
  });

  it('holds the values of the trace to the digits that it shows, of chosen tokens and of all', async () => {
    const { path, trace } = await writePage('stories-260k', 'int8', 'Once upon a time', [1, 4]);
    const reader = await PageReader.open(browser, path);
    const digits = (value: number): number => Number(value.toPrecision(4));
    await reader.goTo({ part: 13, layer: 3 });
    const rows = (name: string): number[] =>
      [1, 4].flatMap((position) => Array.from(trace.get(name).at(position), digits));
    expect(await reader.values('What it reads')).toEqual(rows('layers.3.ffn_norm'));
    expect(await reader.values('Gate')).toEqual(rows('layers.3.gate'));
    await reader.goTo({ part: 14, layer: 3 });
    const stream = trace.get('layers.3.ffn_residual');
    expect(await reader.values('Behind layer 3')).toEqual(Array.from(stream.values, digits));
    await reader.close();
  });

  it.each([
    ['stories-260k', 'Once upon a time'],
    ['nano-gpt-sort', 'CAB'],
  ])('the arithmetic of a cell gives what the trace of %s has, in every part', async (reference, text) => {
    const { path, trace } = await writePage(reference, 'fp32', text);
    const reader = await PageReader.open(browser, path);
    const spelled: string[] = [];
    const layers = trace.tensors.filter(({ name }) => name.endsWith('.ffn_residual')).length;
    for (let part = 1; part <= 18; part++) {
      for (const layer of [0, layers - 1]) {
        await reader.goTo({ part, layer, head: 1 });
        const cell = await reader.arithmetic();
        if (cell === undefined) continue;
        spelled.push(`${part}`);
        expect(cell.said, `part ${part} of layer ${layer}: ${cell.name}`).not.toContain('apart');
      }
    }
    const parts = [...new Set(spelled)].map(Number);
    expect(parts).toEqual([2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18]);
    await reader.close();
  });

  it('is read with the keyboard: parts, layers, heads, tokens, cells', async () => {
    const { path, trace } = await writePage('stories-260k', 'int8', 'Once upon a time');
    const reader = await PageReader.open(browser, path);
    const { page } = reader;
    const place = () => page.evaluate<string>('location.hash');
    for (const key of ['n', 'n', 'n', 'n', 'n', 'n', ']', '.', '.', ',', 'h']) await page.keyboard.press(key);
    expect(await place()).toBe(`#part=7&layer=1&head=1&token=${trace.tokens.length - 2}`);
    await page.keyboard.press('p');
    await page.goBack();
    expect(await place()).toContain('part=7');
    await reader.goTo({ part: 14, layer: 2, token: 3 });
    await page.locator('figure canvas').nth(2).focus();
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowUp', 'ArrowDown']) await page.keyboard.press(key);
    const value = trace.get('layers.2.ffn_residual').at(3)[2]!;
    const readout = await page.locator('figure .readout').nth(2).textContent();
    expect(readout).toBe(
      `token 3 ·a, component 2: ${String(Number(value.toPrecision(6))).replace('-', '−')}`,
    );
    expect((await reader.arithmetic())!.name).toBe('x[3, 2]');
    await reader.close();
  });

  it('fits a phone, is dark where that is wanted, and has all parts on light paper', async () => {
    const { path } = await writePage('stories-260k', 'int8', 'Once upon a time');
    const reader = await PageReader.open(browser, path, {
      viewport: { width: 360, height: 700 },
      colorScheme: 'dark',
    });
    const { page } = reader;
    const ground = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    expect(await ground()).toBe('rgb(20, 24, 31)');
    for (let part = 1; part <= 20; part++) {
      await reader.goTo({ part });
      expect(await page.evaluate<number>('document.documentElement.scrollWidth'), `part ${part}`).toBe(360);
    }
    // A printer lays the page out before the media change: each part begins a sheet of its own, and fills at least one.
    const printed = (await page.pdf({ format: 'A4' })).toString('latin1');
    expect(printed.match(/\/Type\s*\/Page\b/g)!.length).toBeGreaterThanOrEqual(20);
    await expect.poll(() => page.locator('.sheet').count()).toBe(0);
    expect(await ground()).toBe('rgb(20, 24, 31)');
    await page.emulateMedia({ media: 'print' });
    expect(await ground()).toBe('rgb(255, 255, 255)');
    await expect.poll(() => page.locator('.sheet').count()).toBe(20);
    await page.emulateMedia({ media: 'screen' });
    await expect.poll(() => page.locator('.sheet').count()).toBe(0);
    await reader.close();
  });

  it('names every picture and control for who does not see them', async () => {
    const { path } = await writePage('nano-gpt-sort', 'int8', 'CAB');
    const reader = await PageReader.open(browser, path);
    for (let part = 1; part <= 20; part++) {
      await reader.goTo({ part });
      const nameless = await reader.page.evaluate<number>(
        `[...document.querySelectorAll('figure canvas, svg[role=img]')].filter((one) => !(one.getAttribute('aria-label')?.length > 10)).length
          + [...document.querySelectorAll('button')].filter((one) => !(one.textContent || one.getAttribute('aria-label'))).length`,
      );
      expect(nameless, `part ${part}`).toBe(0);
    }
    await reader.close();
  });
});

describe('kvasir inspect --html', () => {
  it('writes one file that asks for nothing', async () => {
    const path = join(folder, 'written.html');
    const { status, stderr } = await kvasir([
      'inspect',
      'nano-gpt-sort',
      'CBA',
      '--generate',
      '3',
      '--html',
      path,
    ]);
    expect(stderr).toContain('The page is in');
    expect(status).toBe(0);
    // Types in comments name modules.
    const page = readFileSync(path, 'utf8').replace(/\/\*\*[\s\S]*?\*\//g, '');
    expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
    expect(page).not.toMatch(/(?:src|href)=["'](?!data:)|url\(|fetch\(|import\(/);
    expect(page).toContain("default-src 'none'");
    expect(statSync(path).size).toBeLessThan(2e6);
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('refuses what does not go together, and a place that it cannot write to', async () => {
    const args = ['inspect', 'nano-gpt-sort', 'CBA'];
    const path = join(folder, 'none.html');
    for (const [flags, said] of [
      [['--positions', '1'], /--positions is about the page/],
      [['--compare'], /--compare is about the page/],
      [['--html', path, '--lens', '3'], /--lens does not go with --html/],
      [['--html', path, '--json'], /--json does not go with --html/],
      [['--html', folder], /is not a file/],
      [['--html', path, '--positions', '9'], /positions is 9/],
    ] as const) {
      const { status, stderr } = await kvasir([...args, ...flags]);
      expect(status, flags.join(' ')).not.toBe(0);
      expect(stderr).toMatch(said);
    }
    expect(readdirSync(folder).filter((name) => name.startsWith('none'))).toEqual([]);
  });
});
