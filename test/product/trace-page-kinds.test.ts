/** The page of one tiny model of each kind of layer, in Chromium: every part opens, and its arithmetic gives the trace. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Trace } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { attentionOf, layerCount } from '../../lib/spec.js';
import { pageTraceOptions, tracePage } from '../../lib/trace-page/trace-page.js';
import { fixtures } from '../model/golden.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { PageReader } from './trace-page-reader.js';

interface Kind {
  kind: string;
  family: string;
  /** The words in which the arithmetic says what of this kind it leaves out, where the trace is apart from it. */
  lacks?: RegExp;
}

const kinds: readonly Kind[] = [
  { kind: 'a window', family: 'families/gemma3_text' },
  { kind: 'experts', family: 'families/mixtral' },
  { kind: 'experts and one that all tokens use', family: 'families/qwen2_moe' },
  { kind: 'sinks', family: 'families/gpt_oss', lacks: /A learned sink takes its share of the sum too\.$/ },
  { kind: 'a gated delta net', family: 'families/qwen3_next' },
  { kind: 'short convolutions', family: 'families/lfm2' },
  { kind: 'parallel branches', family: 'families/falcon' },
  { kind: 'a norm behind its branches', family: 'families/olmo2' },
  { kind: 'positions and no mask', family: 'encoders/bert' },
  { kind: 'windows to both sides', family: 'encoders/modernbert' },
  {
    kind: 'biases by distance',
    family: 'encoders/mpnet',
    lacks: /What distance adds, or a cap, is not in this sum\.$/,
  },
];

/** What the page says that tokens see is what the weights say: no share of it is 0, and all of the rest is. */
async function checkSeen(reader: PageReader, trace: Trace, layer: number): Promise<void> {
  const weights = trace.get(`layers.${layer}.weights`);
  await reader.goTo({ part: 9, layer });
  const shown = (await reader.values('Which tokens each token sees')).map((value) => value === 1);
  const seen = Array.from(trace.tokens, (_, row) => Array.from(weights.at(0, row), (weight) => weight !== 0));
  expect(shown, `layer ${layer}`).toEqual(seen.flat());
}

/** A layer with a state shows what it reads in the place of attention. */
async function checkState(reader: PageReader, trace: Trace, layer: number): Promise<void> {
  const names = ['conv_in', 'delta_in', 'delta_gates'].filter((name) => trace.has(`layers.${layer}.${name}`));
  expect(names.length).toBeGreaterThan(0);
  await reader.goTo({ part: 6, layer });
  for (const name of names) {
    const { values } = trace.get(`layers.${layer}.${name}`);
    expect(await reader.values(name), name).toEqual(
      Array.from(values, (value) => Number(value.toPrecision(6))),
    );
  }
}

describe.skipIf(!hasChromium)(`the page${needsChromium}`, () => {
  let folder = '';
  let browser: Browser;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-kinds-'));
    browser = await startChromium();
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  it.each(kinds)('of a model with $kind', { timeout: 120_000 }, async ({ family, lacks }) => {
    await using model = await Model.load(`${fixtures}${family}`, {
      device: 'cpu',
      dtype: 'fp32',
      kvDtype: 'fp32',
    });
    const traced = tracedOf(model);
    const { spec } = traced;
    // Longer than the windows of 20.
    const ids = Int32Array.from({ length: 26 }, (_, i) => 5 + ((i * 37) % 120));
    const trace = await model.trace(ids, pageTraceOptions(traced));
    const path = join(folder, `${family.replace('/', '-')}.html`);
    writeFileSync(path, await tracePage({ info: model.info, traced }, trace, undefined));
    const reader = await PageReader.open(browser, path);
    const shown = new Set<number>();
    for (let part = 1; part <= 20; part++) {
      for (let layer = 0; layer < layerCount(spec); layer++) {
        await reader.goTo({ part, layer, head: 1, token: 24 });
        const text = await reader.page.locator('#part').innerText();
        expect(text, `part ${part}`).toContain(`Part ${part} of 20`);
        if (!text.includes('The page holds no tensor')) shown.add(part);
        const cell = await reader.arithmetic();
        const said = cell?.said ?? '';
        const apart = said.includes('apart') && !lacks?.test(said);
        expect(apart, `part ${part} of layer ${layer}: ${cell?.name} ${said}`).toBe(false);
        expect(cell === undefined || Number.isFinite(cell.computed), `part ${part}: ${cell?.name}`).toBe(
          true,
        );
      }
    }
    for (let layer = 0; layer < layerCount(spec); layer++) {
      if (attentionOf(spec, layer)) await checkSeen(reader, trace, layer);
      else await checkState(reader, trace, layer);
    }
    // What an encoder has no output layer for says so in its own words.
    expect([...shown]).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    await reader.close();
  });
});
