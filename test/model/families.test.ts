/** A tiny checkpoint of each family, in each of its containers, against what `transformers` computes from it. */
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { supportedArchitectures } from '../../lib/architectures/index.js';
import { isNightly } from '../nightly.js';
import { useEmulatedGpu } from './emulated-gpu.js';
import {
  differenceOf,
  expectErrorWithin,
  expectSameBits,
  fixtures,
  type GoldenError,
  type GoldenTensor,
  readGolden,
  valuesOf,
} from './golden.js';
import {
  argmax,
  type Described,
  describeAt,
  greedy,
  joined,
  kernels,
  type LoadSettings,
  loadOptions,
  logitsOf,
  step,
  withModel,
} from './native-model.js';
import { trace } from './testing-addon.js';

// As in loaders.test.ts: ours may err by twice what PyTorch's float32 does.
const factor = 2;

interface Golden {
  prompts: { ids: number[]; hidden: GoldenTensor; logits: GoldenTensor; greedyIds: number[] }[];
  float32Error: { hidden: GoldenError; logits: GoldenError };
  /** Loaded for no more positions than this, LongRoPE has other frequencies. */
  short?: { contextLength: number; ids: number[]; logits: GoldenTensor; float32Error: GoldenError };
}

useEmulatedGpu();

const folder = `${fixtures}families/`;
const families = readdirSync(folder);

/** What the emulated GPU runs: one dtype of each family in turn, nightly both. */
const dtypesOnGpu = (family: string) => {
  const dtypes = ['fp32', 'int8'] as const;
  return isNightly ? dtypes : [dtypes[families.indexOf(family) % 2]!];
};

function hiddenStates(model: Described, ids: readonly number[]): Float32Array {
  const rows = Int32Array.from(ids, (_, i) => i);
  const sequences = [{ index: 0, tokens: Int32Array.from(ids) }];
  const [taps] = trace({ ...model, options: loadOptions(model), steps: [{ sequences, rows }] });
  const blocks = [...model.spec.stack.layers.keys()].map((layer) => `layers.${layer}.ffn_residual`);
  return joined(['embed', ...blocks, 'final_norm'].map((name) => taps!.get(name)!.values));
}

it('each family that loads has a checkpoint here or among those of loaders and encoders', () => {
  const others = [
    'llama',
    'gpt2',
    ...readdirSync(`${fixtures}encoders`).filter((name) => name !== 'embeddinggemma'),
  ];
  expect([...families, ...others].sort()).toEqual([...supportedArchitectures].sort());
});

describe.each(families)('%s', (family) => {
  const { prompts, float32Error, short } = readGolden<Golden>(`families/${family}/golden.json`);
  const gguf = `${folder}${family}/${family}.gguf`;
  const containers = [folder + family, ...(existsSync(gguf) ? [gguf] : [])];
  const truth = joined(prompts.map((prompt) => valuesOf(prompt.logits) as Float32Array));

  it.each(containers)('%s: hidden states after every layer', async (path) => {
    const model = await describeAt(path);
    const hidden = joined(prompts.map(({ ids }) => hiddenStates(model, ids)));
    const expected = joined(prompts.map((prompt) => valuesOf(prompt.hidden) as Float32Array));
    expectErrorWithin(hidden, expected, float32Error.hidden, factor, 'hidden states');
  });

  it.each(containers)('%s: logits of a prefill, of decode steps and of a mixed batch', async (path) => {
    await withModel(await describeAt(path), { kvCapacity: 1024 }, async (model) => {
      const prefill: Float32Array[] = [];
      for (const { ids } of prompts) prefill.push(...(await logitsOf(model, ids)));
      expectErrorWithin(joined(prefill), truth, float32Error.logits, factor, 'logits');
      const one: Float32Array[] = [];
      for (const { ids } of prompts) {
        const sequence = model.createSequence();
        for (const id of ids) one.push(...(await step(model, [{ sequence, tokens: [id] }])));
      }
      expectSameBits(joined(one), joined(prefill), 'decode steps');
      const parts = prompts.map(({ ids }) => ({ sequence: model.createSequence(), tokens: ids }));
      expectSameBits(joined(await step(model, parts)), joined(prefill), 'a batch');
    });
  });

  it.each(containers)('%s: greedy ids over 64 steps', async (path) => {
    await withModel(await describeAt(path), {}, async (model) => {
      for (const { ids, greedyIds } of prompts) {
        expect(greedyIds).toHaveLength(64);
        expect(await greedy(model, ids, 64)).toEqual(greedyIds);
      }
    });
  });

  it.each(short ? containers : [])('%s: logits of a model loaded for a short context', async (path) => {
    const { contextLength, ids, logits, float32Error: error } = short!;
    const described = await describeAt(path);
    const expected = valuesOf(logits);
    await withModel(described, { contextLength }, async (model) => {
      expectErrorWithin(joined(await logitsOf(model, ids)), expected, error, factor, 'logits');
    });
    // And it matters: loaded for one position more, the same model says something else.
    await withModel(described, { contextLength: contextLength + 1 }, async (model) => {
      expect(differenceOf(joined(await logitsOf(model, ids)), expected).max).toBeGreaterThan(0.1);
    });
  });

  it.each(dtypesOnGpu(family))('%s on the emulated GPU is what it is on the CPU', async (dtype) => {
    const described = await describeAt(containers[0]!);
    const logits = async (settings: LoadSettings) =>
      withModel(described, { dtype, ...settings }, async (model) => {
        const sequence = model.createSequence();
        const prefill = await step(model, [{ sequence, tokens: prompts[1]!.ids }]);
        const next = await step(model, [{ sequence, tokens: [7] }]);
        return { device: model.info.device, values: joined([...prefill, ...next]) };
      });
    // Layers with a state are refused there by name.
    if (described.spec.states) {
      const code = 'UNSUPPORTED_ARCHITECTURE';
      await expect(logits({ device: 0, gpuLayers: -1 })).rejects.toMatchObject({
        code,
        message: expect.stringContaining('layers with a state on a GPU'),
      });
      return;
    }
    const onGpu = await logits({ device: 0, gpuLayers: -1 });
    expect(onGpu.device).toBe('cuda:0');
    expectSameBits(onGpu.values, (await logits({})).values, 'on the GPU');
  });

  it('INT8 obeys the contract: tables, steps and threads give equal bits', async () => {
    const described = await describeAt(containers[0]!);
    const { ids } = prompts.at(-1)!;
    let expected: Float32Array | undefined;
    for (const isa of kernels) {
      for (const threads of [1, 2]) {
        await withModel(described, { dtype: 'int8', isa, threads }, async (model) => {
          const logits = joined(await logitsOf(model, ids));
          expected ??= logits;
          expectSameBits(logits, expected, `${isa}, ${threads} threads`);
          const sequence = model.createSequence();
          const one: Float32Array[] = [];
          for (const id of ids) one.push(...(await step(model, [{ sequence, tokens: [id] }])));
          expectSameBits(joined(one), expected, `${isa}, decode steps`);
        });
      }
    }
    // And it is the model: the best token is mostly that of FP32.
    const vocab = described.spec.vocabSize;
    const exact = valuesOf(prompts.at(-1)!.logits) as Float32Array;
    const best = (all: Float32Array, row: number) => argmax(all.subarray(row * vocab, (row + 1) * vocab));
    const same = ids.filter((_, row) => best(exact, row) === best(expected!, row)).length;
    expect(same / ids.length).toBeGreaterThan(0.8);
  });
});
