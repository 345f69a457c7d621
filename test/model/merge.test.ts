/** Merged models compute what their base with the adapter computes, in FP32 within its rounding; what cannot be is refused. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { mergeModel } from '../../lib/merge.js';
import {
  expectErrorWithin,
  fixtures,
  type GoldenError,
  type GoldenTensor,
  readGolden,
  valuesOf,
} from './golden.js';
import { describeAt, logitsOf, withModel } from './native-model.js';

interface Golden {
  adapters: Record<string, { base: string; ids: number[]; logits: GoldenTensor; float32Error: GoldenError }>;
}

const { adapters } = readGolden<Golden>('adapters/golden.json');
const folder = mkdtempSync(join(tmpdir(), 'kvasir-merge-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function lastLogits(path: string, ids: readonly number[]): Promise<Float32Array> {
  return withModel(await describeAt(path), { contextLength: 32 }, async (model) => {
    const rows = await logitsOf(model, ids);
    return Float32Array.from(rows.slice(-4).flatMap((row) => [...row]));
  });
}

const mergeable = Object.entries(adapters).filter(([name]) => name !== 'llama-head');

it.each(mergeable)('%s', async (name, { base, ids, logits, float32Error }) => {
  const out = join(folder, name);
  const { changed } = await mergeModel(fixtures + base, `${fixtures}adapters/${name}`, out);
  expect(changed).toBeGreaterThan(0);
  // Weights are rounded once more than where the two products are summed.
  expectErrorWithin(await lastLogits(out, ids), valuesOf(logits), float32Error, 4, name);
});

it('a GGUF adapter, and a base of bfloat16 as float32', async () => {
  const { ids, logits, float32Error, base } = adapters['llama-qk']!;
  const out = join(folder, 'from-gguf');
  await mergeModel(fixtures + base, `${fixtures}adapters/llama-qk.gguf`, out);
  expectErrorWithin(await lastLogits(out, ids), valuesOf(logits), float32Error, 4, 'GGUF adapter');
  const source = `${fixtures}tiny-llama-variants/bf16`;
  const [whole, rounded] = [join(folder, 'bf16-fp32'), join(folder, 'bf16')];
  await mergeModel(source, `${fixtures}adapters/llama-qk`, whole, { dtype: 'fp32' });
  await mergeModel(source, `${fixtures}adapters/llama-qk`, rounded);
  const [exact, near] = [await lastLogits(whole, ids), await lastLogits(rounded, ids)];
  const worst = Math.max(...exact.map((value, i) => Math.abs(value - near[i]!)));
  expect(worst).toBeGreaterThan(0);
  expect(worst).toBeLessThan(0.3);
});

it('refuses by name what cannot be merged, and leaves nothing', async () => {
  const adapter = `${fixtures}adapters/llama-qv`;
  const own = join(folder, 'own');
  cpSync(`${fixtures}tiny-llama-variants/f32`, own, { recursive: true });
  const gguf = `${fixtures}tiny-llama-variants/f32.gguf`;
  const llama = `${fixtures}tiny-llama-variants/f32`;
  const cases: [string, string, string, string, RegExp][] = [
    [own, adapter, own, 'INVALID_OPTION', /empty or does not exist/],
    [gguf, adapter, join(folder, 'a'), 'UNSUPPORTED_ARCHITECTURE', /GGUF/],
    [llama, `${fixtures}adapters/llama-head`, join(folder, 'b'), 'UNSUPPORTED_ARCHITECTURE', /embedding/],
    [llama, `${fixtures}adapters/gpt2`, join(folder, 'c'), 'INVALID_OPTION', /no linear/],
  ];
  const before = readdirSync(folder).sort();
  for (const [base, from, out, code, message] of cases) {
    const failed = mergeModel(base, from, out);
    await expect(failed).rejects.toMatchObject({ code });
    await expect(failed).rejects.toThrow(message);
  }
  expect(readdirSync(folder).sort()).toEqual(before);
});
