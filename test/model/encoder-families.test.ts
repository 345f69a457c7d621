/** A tiny checkpoint of each encoder family, in each of its containers, against `transformers` and `sentence-transformers`. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { quantizeModel } from '../../lib/quantize.js';
import { isNightly } from '../nightly.js';
import { useEmulatedGpu } from './emulated-gpu.js';
import {
  expectErrorWithin,
  expectSameBits,
  fixtures,
  type GoldenError,
  type GoldenTensor,
  readGolden,
  valuesOf,
} from './golden.js';
import { hiddenOf, hiddenRows } from './hidden-rows.js';
import { type Described, describeAt, joined, kernels, loadOptions, withModel } from './native-model.js';
import { trace } from './testing-addon.js';

// As in families.test.ts: ours may err by twice what PyTorch's float32 does.
const factor = 2;

interface Golden {
  prompts: { ids: number[]; hidden: GoldenTensor }[];
  float32Error: { hidden: GoldenError };
  texts: string[];
  /** What sentence-transformers makes of each text. */
  vectors: GoldenTensor;
}

useEmulatedGpu();

const folder = `${fixtures}encoders/`;
const families = readdirSync(folder);

/** What the emulated GPU runs: one dtype of each family in turn, nightly both. */
const dtypesOnGpu = (family: string) => {
  const dtypes = ['fp32', 'int8'] as const;
  return isNightly ? dtypes : [dtypes[families.indexOf(family) % 2]!];
};

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** The embedding, the output of every layer, and what a final norm makes of the last. */
async function allStates(model: Described, ids: readonly number[]): Promise<Float32Array> {
  const sequences = [{ index: 0, tokens: Int32Array.from(ids) }];
  const options = loadOptions(model);
  const [taps] = trace({ ...model, options, steps: [{ sequences, rows: new Int32Array(0) }] });
  const layers = [...model.spec.stack.layers.keys()].map((layer) => `layers.${layer}.ffn_residual`);
  const states = ['embed', ...layers].map((name) => taps!.get(name)!.values);
  if (model.spec.finalNorm === false) return joined(states);
  return joined([...states, ...(await withModel(model, {}, (native) => hiddenOf(native, ids)))]);
}

describe.each(families)('%s', (family) => {
  const { prompts, float32Error, texts, vectors } = readGolden<Golden>(`encoders/${family}/golden.json`);
  const path = folder + family;
  const gguf = `${path}/${family}.gguf`;
  const containers = [path, ...(existsSync(gguf) ? [gguf] : [])];
  const longest = prompts.at(-1)!.ids;

  it.each(containers)('%s: hidden states after every layer', async (container) => {
    const model = await describeAt(container);
    const found: Float32Array[] = [];
    for (const { ids } of prompts) found.push(await allStates(model, ids));
    const expected = joined(prompts.map(({ hidden }) => valuesOf(hidden) as Float32Array));
    expectErrorWithin(joined(found), expected, float32Error.hidden, factor, 'hidden states');
  });

  it('INT8 obeys the contract: tables, threads and neighbours give equal bits', async () => {
    const described = await describeAt(path);
    let expected: Float32Array | undefined;
    for (const isa of kernels) {
      for (const threads of [1, 2]) {
        const settings = { dtype: 'int8', isa, threads, kvCapacity: 1024 } as const;
        await withModel(described, settings, async (model) => {
          const alone: Float32Array[] = [];
          for (const { ids } of prompts) alone.push(...(await hiddenOf(model, ids)));
          expected ??= joined(alone);
          expectSameBits(joined(alone), expected, `${isa}, ${threads} threads`);
          const parts = prompts.map(({ ids }) => ({ sequence: model.createSequence(), tokens: ids }));
          expectSameBits(joined(await hiddenRows(model, parts)), expected, `${isa}, side by side`);
        });
      }
    }
  });

  it.each(dtypesOnGpu(family))('%s on the emulated GPU is what it is on the CPU', async (dtype) => {
    const described = await describeAt(path);
    const states = (device: number) =>
      withModel(described, { dtype, device, gpuLayers: -1 }, async (model) => {
        expect(model.info.device).toBe(device < 0 ? 'cpu' : 'cuda:0');
        return joined(await hiddenOf(model, longest));
      });
    expectSameBits(await states(0), await states(-1), 'on the GPU');
  });

  describe.each(containers)('%s', (container) => {
    let int8: Model;
    let found: Float32Array[];
    beforeAll(async () => {
      int8 = await Model.load(container, { dtype: 'int8' });
      found = await int8.embed(texts);
    });
    afterAll(() => int8?.dispose());

    function expectNear(actual: Float32Array[], least: number): void {
      const expected = valuesOf(vectors) as Float32Array;
      const size = expected.length / texts.length;
      actual.forEach((vector, i) => {
        const row = expected.subarray(i * size, (i + 1) * size);
        expect(cosine(vector, row), texts[i]).toBeGreaterThan(least);
      });
    }

    it('vectors of texts', async () => {
      expect(int8.info.kind).toBe('encoder');
      expectNear(found, 0.995);
      await using exact = await Model.load(container, { dtype: 'fp32' });
      expectNear(await exact.embed(texts), 0.999999);
    });

    it('its INT8 form gives the same vectors', async () => {
      const out = mkdtempSync(join(tmpdir(), 'kvasir-encoder-'));
      try {
        await quantizeModel(container, join(out, 'int8'));
        await using form = await Model.load(join(out, 'int8'));
        expect(await form.embed(texts)).toEqual(found);
      } finally {
        rmSync(out, { recursive: true });
      }
    });
  });
});
