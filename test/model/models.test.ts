/**
 * Every model of the table (models.ts) in every dtype on every device: FP32 against the reference, one container against
 * another, decoding against prefill, and the emulated GPU against the CPU. All but the first with `==`.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import type { NativeModel } from '../../lib/native.js';
import { isNightly } from '../nightly.js';
import { useEmulatedGpu } from './emulated-gpu.js';
import { expectErrorWithin, expectSameBits } from './golden.js';
import { type ModelRow, models } from './models.js';
import { describeAt, greedy, joined, type LoadSettings, logitsOf, step, withModel } from './native-model.js';

// Two float32 programs that add in different orders err alike: ours may by twice what PyTorch does, as for SmolLM2.
const factor = 2;
const dtypes = ['fp32', 'int8'] as const;
const onFirstGpu = { device: 0, gpuLayers: -1 };

useEmulatedGpu();

/** Logits of every token of each prompt, fed whole. */
async function allLogits(
  model: NativeModel,
  { prompts }: Pick<ModelRow, 'prompts'>,
): Promise<Float32Array[][]> {
  const all: Float32Array[][] = [];
  for (const { ids } of prompts) all.push(await logitsOf(model, ids));
  return all;
}

const logitsAt = async (row: ModelRow, settings: LoadSettings) =>
  withModel(await describeAt(row.path), settings, (model) => allLogits(model, row));
const flat = (rows: readonly Float32Array[][]) => joined(rows.flat());

/** The last prompt token by token, each behind what the cache holds. */
async function decoded(model: NativeModel, ids: readonly number[]): Promise<Float32Array> {
  const sequence = model.createSequence();
  const rows: Float32Array[] = [];
  for (const token of ids) rows.push(...(await step(model, [{ sequence, tokens: [token] }])));
  model.freeSequence(sequence);
  return joined(rows);
}

/** What the emulated GPU runs: of files that only store a model in another way the first prompts, nightly all. */
const promptsOnGpu = ({ prompts }: ModelRow) =>
  isNightly || prompts.some(({ greedyIds }) => greedyIds) ? prompts : prompts.slice(0, 2);

const rowNamed = (name: string) => models.find((row) => row.name === name)!;

describe.each(models.map((row) => [row.name, row] as const))('%s', (_name, row) => {
  const { logits, sameBitsAs } = row;
  const continued = row.prompts.filter(({ greedyIds }) => greedyIds !== undefined);

  // What does not apply to a row is no test of it, and not a skipped one.
  if (logits !== undefined) {
    it('in FP32 has the logits of the reference', async () => {
      const { values, nLast, float32Error } = logits;
      const all = await logitsAt(row, {});
      const wanted = all.map((rows) => rows.slice(-Math.min(nLast, rows.length)));
      expectErrorWithin(flat(wanted), values, float32Error, factor, 'logits');
    });
  }

  if (continued.length > 0) {
    it('in FP32 continues as the reference does', async () => {
      await withModel(await describeAt(row.path), {}, async (model) => {
        for (const { ids, greedyIds } of continued) {
          expect(await greedy(model, ids, greedyIds!.length)).toEqual(greedyIds);
        }
      });
    });
  }

  describe.each(dtypes)('in %s', (dtype) => {
    let onCpu: Float32Array[][];
    beforeAll(async () => {
      onCpu = await logitsAt(row, { dtype });
    });

    it('says something', () => {
      const values = flat(onCpu);
      expect(values.every(Number.isFinite)).toBe(true);
      expect(new Set(values).size).toBeGreaterThan(values.length / 10);
    });

    if (sameBitsAs !== undefined) {
      it(`is ${sameBitsAs}, bit for bit`, async () => {
        expectSameBits(flat(onCpu), flat(await logitsAt(rowNamed(sameBitsAs), { dtype })), sameBitsAs);
      });
    }

    it('decodes what it prefills, bit for bit', async () => {
      await withModel(await describeAt(row.path), { dtype }, async (model) => {
        const ids = row.prompts.at(-1)!.ids;
        expectSameBits(await decoded(model, ids), joined(onCpu.at(-1)!), 'decoded');
      });
    });

    it('is on the emulated GPU what it is on the CPU, bit for bit', async () => {
      await withModel(await describeAt(row.path), { dtype, ...onFirstGpu }, async (model) => {
        expect(model.info.device).toBe('cuda:0');
        const prompts = promptsOnGpu(row);
        const onGpu = await allLogits(model, { prompts });
        expectSameBits(flat(onGpu), flat(onCpu.slice(0, prompts.length)), 'on the GPU');
      });
    });
  });
});
