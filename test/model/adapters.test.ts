/** LoRA adapters as PEFT and llama.cpp's converter write them: what a model computes with them is what PEFT computes. */
import { describe, expect, it } from 'vitest';
import { bindAdapter } from '../../lib/lora/bind.js';
import { readAdapter } from '../../lib/lora/loader.js';
import type { NativeAdapters, NativeModel } from '../../lib/native.js';
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
import { naiveKl } from './naive-kl.js';
import { describeAt, type LoadSettings, withModel } from './native-model.js';

interface Golden {
  adapters: Record<string, { base: string; ids: number[]; logits: GoldenTensor; float32Error: GoldenError }>;
}

useEmulatedGpu();

const { adapters } = readGolden<Golden>('adapters/golden.json');
const folder = `${fixtures}adapters/`;
/** Ours may err by twice what PyTorch's float32 does, as in loaders.test.ts. */
const factor = 2;

/** Beyond it, LongRoPE has other frequencies than it has for the golden's twelve tokens. */
const contextLength = 32;

/** Logits of the last four tokens of a sequence that goes through an adapter. */
async function logitsWith(
  base: string,
  adapter: string,
  ids: readonly number[],
  settings: LoadSettings = {},
): Promise<Float32Array> {
  const described = await describeAt(base);
  return withModel(described, { contextLength, ...settings }, async (loaded) => {
    const model = loaded as NativeModel & NativeAdapters;
    const bound = await bindAdapter({ name: base, ...described }, await readAdapter(adapter));
    const id = await model.loadAdapter(bound);
    const result = await model.step({
      sequences: Int32Array.of(model.createSequence()),
      counts: Int32Array.of(ids.length),
      adapters: Int32Array.of(id),
      tokens: Int32Array.from(ids),
      rows: Int32Array.from([4, 3, 2, 1], (back) => ids.length - back),
      temperatures: new Float32Array(4),
      fullLogits: new Uint8Array(4).fill(1),
      targets: new Int32Array(4).fill(-1),
    });
    return Float32Array.from(result.fullLogits.flatMap((row) => [...row!]));
  });
}

const ggufOf: Record<string, string> = {
  'tiny-llama-variants/f32': 'tiny-llama-variants/f32.gguf',
  'tiny-gpt2': 'tiny-gpt2/tiny-gpt2-f32.gguf',
  'families/phi3': 'families/phi3/phi3.gguf',
  'families/gpt_neox': 'families/gpt_neox/gpt_neox.gguf',
};

describe.each(Object.entries(adapters))('%s', (name, { base, ids, logits, float32Error }) => {
  const truth = valuesOf(logits);

  it.each([base, ggufOf[base]!])('on %s, in FP32 within the tolerance', async (path) => {
    const values = await logitsWith(fixtures + path, folder + name, ids);
    expectErrorWithin(values, truth, float32Error, factor, name);
  });

  it('in INT8, with A as the linears are, near it', async () => {
    const described = await describeAt(fixtures + base);
    const exact = await logitsWith(fixtures + base, folder + name, ids);
    const values = await logitsWith(fixtures + base, folder + name, ids, { dtype: 'int8' });
    const kl = meanKl(exact, values, described.spec.vocabSize);
    expect(kl).toBeGreaterThan(0);
    expect(kl).toBeLessThan(0.02);
  });
});

/** Of rows of logits; nats. */
function meanKl(p: Float32Array, q: Float32Array, vocabulary: number): number {
  const rows = p.length / vocabulary;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const own = (logits: Float32Array) => logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    sum += naiveKl(own(p), own(q));
  }
  return sum / rows;
}

const { ids, logits, float32Error } = adapters['llama-qk']!;

it.each(['f32', 'f32.gguf'])('a GGUF adapter on %s', async (file) => {
  const values = await logitsWith(`${fixtures}tiny-llama-variants/${file}`, `${folder}llama-qk.gguf`, ids);
  expectErrorWithin(values, valuesOf(logits), float32Error, factor, file);
});

it.each(['llama-all', 'gpt2'])('%s on a GPU (emulated) has the bits of the CPU', async (name) => {
  const { base, ids } = adapters[name]!;
  for (const dtype of ['fp32', 'int8'] as const) {
    const onCpu = await logitsWith(fixtures + base, folder + name, ids, { dtype });
    const onGpu = await logitsWith(fixtures + base, folder + name, ids, { dtype, device: 0, gpuLayers: -1 });
    expectSameBits(onGpu, onCpu, `${name}, ${dtype}`);
  }
});
