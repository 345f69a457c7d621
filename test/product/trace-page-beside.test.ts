/** INT8 beside FP32 in the page of `kvasir inspect --compare`, read in Chromium: the place of a damage stands first. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { packageRoot } from '../../lib/native.js';
import { besideOf } from '../../lib/trace-page/beside.js';
import { pageTraceOptions, tracePage } from '../../lib/trace-page/trace-page.js';
import { amount } from '../nightly.js';
import { hasChromium, needsChromium, startChromium } from './chromium.js';
import { PageReader } from './trace-page-reader.js';

const prompt = 'Once upon a time there was a little girl named Lily who';
/** Of stories-260k. */
const [layers, heads, headDim] = [5, 8, 8];
const linears = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const;
const stored = {
  ...{ q: 'self_attn.q_proj', k: 'self_attn.k_proj', v: 'self_attn.v_proj', o: 'self_attn.o_proj' },
  ...{ gate: 'mlp.gate_proj', up: 'mlp.up_proj', down: 'mlp.down_proj' },
};

/** From 0 to 1, the same for a seed. */
function drawer(seed: number): () => number {
  let state = seed * 2654435761;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 374761393) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

/** Writes the model with one head left out or one linear that is off by a third; says which. */
function damage(seed: number, folder: string): string {
  cpSync(join(packageRoot, 'models', 'stories-260k'), folder, { recursive: true });
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const table = JSON.parse(bytes.subarray(8, start).toString()) as Record<
    string,
    { shape: [number, number]; data_offsets: [number, number] }
  >;
  const draw = drawer(seed);
  const layer = Math.floor(draw() * layers);
  const linear = linears[Math.floor(draw() * linears.length)]!;
  const { shape, data_offsets } = table[`model.layers.${layer}.${stored[linear]}.weight`]!;
  const [rows, columns] = shape;
  const place = `layers.${layer}.${linear}`;
  const ofHead = ['q', 'k', 'v', 'o'].includes(linear) && seed % 2 === 0;
  const head = Math.floor(draw() * (linear === 'q' || linear === 'o' ? heads : rows / headDim));
  for (let i = 0; i < rows * columns; i++) {
    const at = start + data_offsets[0] + 4 * i;
    const inHead = Math.floor((linear === 'o' ? i % columns : i / columns) / headDim) === head;
    const factor = ofHead ? (inHead ? 0 : 1) : 1 + (draw() - 0.5) * 2 * 0.33;
    bytes.writeFloatLE(bytes.readFloatLE(at) * factor, at);
  }
  writeFileSync(path, bytes);
  return ofHead ? `${place} head ${head}` : place;
}

describe.skipIf(!hasChromium)(`INT8 beside FP32${needsChromium}`, () => {
  let folder = '';
  let browser: Browser;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-beside-'));
    browser = await startChromium();
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  const damaged = amount(4, 10);
  it(`ranks the right place first in all but one of ${damaged} damages`, { timeout: 300_000 }, async () => {
    await using exact = await Model.load('stories-260k', { device: 'cpu', dtype: 'fp32' });
    const options = pageTraceOptions(tracedOf(exact));
    const reference = { name: 'fp32', traced: tracedOf(exact), trace: await exact.trace(prompt, options) };
    const found: string[] = [];
    const damages: string[] = [];
    for (let seed = 1; seed <= damaged; seed++) {
      const weights = join(folder, `damaged-${seed}`);
      damages.push(damage(seed, weights));
      await using model = await Model.load(weights, { device: 'cpu', dtype: 'int8' });
      const traced = tracedOf(model);
      const trace = await model.trace(prompt, options);
      const beside = await besideOf(reference, { name: 'int8', traced, trace });
      const path = join(folder, `${seed}.html`);
      writeFileSync(path, await tracePage({ info: model.info, traced }, trace, undefined, beside));
      const reader = await PageReader.open(browser, path);
      await reader.goTo({ part: 21 });
      found.push((await reader.page.locator('.ranking tbody tr').first().getAttribute('data-place'))!);
      await reader.close();
    }
    const right = found.filter((place, i) => place === damages[i]).length;
    expect(right, `${found.join(', ')} instead of ${damages.join(', ')}`).toBeGreaterThanOrEqual(damaged - 1);
    expect(new Set(damages).size).toBeGreaterThan(0.7 * damaged);
    expect(damages.some((place) => place.includes('head'))).toBe(true);
  });
});
