/** The timeline of the page of `kvasir inspect --html`, read in Chromium: what is on the screen is what the trace has. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Trace } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import type { PageTimeline } from '../../lib/trace-page/page-timeline.js';
import { pageHtml } from '../../lib/trace-page/page.js';
import { pageContent, pageTraceOptions } from '../../lib/trace-page/trace-page.js';
import { fixtures } from '../model/golden.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { numberOf, PageReader } from './trace-page-reader.js';

const unit: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9 };

/** '3.07 kB', '1.2 M', '–' */
function amountOf(text: string): number {
  const [, size = ''] = /([kMG])B?$/.exec(text) ?? [];
  return text === '–' ? 0 : numberOf(text) * (unit[size] ?? 1);
}

/** To the three digits that are shown. */
function expectShown(shown: number, value: number, what: string): void {
  expect(Math.abs(shown - value), `${what}: ${shown} is ${value}`).toBeLessThanOrEqual(0.0051 * value);
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

describe.skipIf(!hasChromium)(`the timeline of the page${needsChromium}`, () => {
  let folder = '';
  let browser: Browser;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-timeline-'));
    browser = await startChromium();
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  /** @param timed false: as where layers run on a GPU */
  async function made(family: string, timed = true): Promise<[string, Trace, PageTimeline | undefined]> {
    await using model = await Model.load(`${fixtures}${family}`, { device: 'cpu' });
    const traced = tracedOf(model);
    const ids = Int32Array.from({ length: 12 }, (_, i) => 5 + ((i * 37) % 120));
    const trace = await model.trace(ids, {
      ...pageTraceOptions(traced),
      ...(timed ? {} : { timeline: false }),
    });
    const content = await pageContent({ info: model.info, traced }, trace, undefined);
    const path = join(folder, `${Math.random()}.html`);
    writeFileSync(path, pageHtml(content));
    return [path, trace, content.data.timeline];
  }

  const rowsOf = (reader: PageReader, caption: string): Promise<string[][]> =>
    reader.page.evaluate<string[][]>(`(() => {
      const details = document.querySelector('.timeline details');
      if (!details.open) { details.open = true; details.dispatchEvent(new Event('toggle')); }
      const table = [...document.querySelectorAll('.timeline table')].find((one) => one.caption.textContent.startsWith(${JSON.stringify(caption)}));
      return [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent));
    })()`);

  it.each(['families/qwen3_next', 'families/qwen2_moe', 'encoders/bert'])('of %s', async (family) => {
    const [path, trace, timeline] = await made(family);
    const { ops } = timeline!;
    const reader = await PageReader.open(browser, path);
    await reader.goTo({ part: 20 });
    const all = sum(ops.map(({ ns }) => ns));
    const rates = ops.filter(({ ns }) => ns >= 1000);
    const bytesOf = (op: (typeof ops)[number]): number => op.weightBytes + op.outputBytes;
    const best = {
      bytes: Math.max(...rates.map((op) => bytesOf(op) / op.ns)),
      operations: Math.max(...rates.map((op) => op.operations / op.ns)),
    };
    const check = (cells: string[], [ns, bytes, operations]: [number, number, number]): void => {
      const [name = '', ...texts] = cells;
      const shown = texts.map(amountOf);
      const isRated = ns >= 1000;
      const expected = [
        ...[ns / 1e6, (100 * ns) / all, bytes, bytes / ns, (100 * bytes) / ns / best.bytes],
        ...[operations, operations / ns, (100 * operations) / ns / best.operations],
      ].map((value, i) => (isRated || ![3, 4, 6, 7].includes(i) ? value : 0));
      // Small shares have two digits.
      for (const [i, value] of expected.entries())
        if (![1, 4, 7].includes(i) || value >= 10) expectShown(shown[i]!, value, `${name} ${i}`);
        else expect(Math.abs(shown[i]! - value), `${name} ${i}`).toBeLessThanOrEqual(0.051 * value);
    };
    const every = await rowsOf(reader, 'Every op');
    expect(every.map(([name]) => name)).toEqual(
      ops.map(({ op, layer }) => (layer < 0 ? op : `layer ${layer}: ${op}`)),
    );
    for (const [i, op] of ops.entries()) {
      check(every[i]!, [op.ns, bytesOf(op), op.operations]);
      if (op.layer < 0) continue;
      // Of the trace itself, too.
      const own = trace.timeline!.components.filter(({ name }) => name === `layers.${op.layer}.${op.op}`);
      expectShown(amountOf(every[i]![1]!), sum(own.map(({ ns }) => ns)) / 1e6, op.op);
    }
    const kinds = await rowsOf(reader, 'By kind');
    for (const cells of kinds) {
      const own = ops.filter(({ kind }) => kind === cells[0] || cells[0] === 'all');
      expect(own.length, cells[0]).toBeGreaterThan(0);
      check(cells, [
        sum(own.map(({ ns }) => ns)),
        sum(own.map(bytesOf)),
        sum(own.map(({ operations }) => operations)),
      ]);
    }
    expect(kinds.map(([kind]) => kind)).toEqual([...new Set(ops.map(({ kind }) => kind)), 'all']);
    await reader.close();
  });

  it('is as long as its ops, and tells of each by pointer and by keys', async () => {
    const [path, , timeline] = await made('families/qwen3_next');
    const { ops } = timeline!;
    const reader = await PageReader.open(browser, path);
    await reader.goTo({ part: 20 });
    const { page } = reader;
    const widths = await page.evaluate<[string, number][]>(
      `[...document.querySelectorAll('.timeline svg rect.kind')].map((bar) => [bar.getAttribute('class').split(' ')[1], Number(bar.getAttribute('width'))])`,
    );
    const line =
      numberOf((await page.locator('.timeline .key').textContent())!.replace('A line is ', '')) * 1e6;
    for (const kind of new Set(ops.map((op) => op.kind))) {
      const own = ops.filter((op) => op.kind === kind);
      const drawn = sum(widths.filter(([name]) => name === kind).map(([, width]) => width));
      const expected = (484 * sum(own.map(({ ns }) => ns))) / line;
      // A bar is no shorter than 0.4.
      expect(Math.abs(drawn - expected), kind).toBeLessThan(0.01 * expected + 0.4 * own.length);
    }
    const readout = page.locator('.timeline .readout');
    const picture = page.locator('.timeline svg');
    await picture.focus();
    for (let i = 0; i < ops.length; i++) await page.keyboard.press('ArrowLeft');
    for (const { op, layer } of ops) {
      expect(await readout.textContent()).toContain(`${layer < 0 ? op : `layer ${layer}: ${op}`}: `);
      await page.keyboard.press('ArrowRight');
    }
    for (let i = 0; i < ops.length; i++) await page.keyboard.press('ArrowLeft');
    for (let i = 0; i < 2; i++) await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    expect(await readout.textContent()).toMatch(/^layer 1: attn_norm: /);
    await page.keyboard.press('ArrowUp');
    expect(await readout.textContent()).toMatch(/^layer 0: attn_norm: /);
    const longest = ops.filter(({ layer }) => layer >= 0).reduce((a, b) => (b.ns > a.ns ? b : a));
    const name = `layer ${longest.layer}: ${longest.op}`;
    await page.locator(`.timeline [data-op="${name}"]`).hover();
    expect((await readout.textContent())!.startsWith(`${name}: `)).toBe(true);
    expect(await page.locator('.timeline .looked-at').getAttribute('data-op')).toBe(name);
    await reader.close();
  });

  it('says that there is none where nothing was timed', async () => {
    const [path, , timeline] = await made('families/mistral', false);
    expect(timeline).toBeUndefined();
    const reader = await PageReader.open(browser, path);
    await reader.goTo({ part: 20 });
    expect(await reader.page.locator('#part').innerText()).toContain('There is no timeline of this text');
    await reader.close();
  });
});
