/**
 * Tiny checkpoints, each container and dtype that we read, against what `transformers` computes from their values: hidden
 * states, stored values, rope. Their logits, tokens and bits on each device are the table's (models.test.ts).
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { native, type TensorSource } from '../../lib/native.js';
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
  type Described,
  describeAt,
  joined,
  type LoadSettings,
  loadOptions,
  logitsOf,
  withModel,
} from './native-model.js';
import { readSource, readTensor, trace } from './testing-addon.js';

// Two float32 programs that add in different orders err alike: ours may by twice what PyTorch does, as for SmolLM2.
const factor = 2;

interface Checkpoint {
  prompts: { ids: number[]; hidden: GoldenTensor; logits: GoldenTensor; greedyIds: number[] }[];
  float32Error: { hidden: GoldenError; logits: GoldenError };
  llama3Rope?: {
    ropeScaling: object;
    inverseFrequencies: GoldenTensor;
    ids: number[];
    logits: GoldenTensor;
    float32Error: GoldenError;
  };
}

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'kvasir-loaders-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Logits of each prompt fed whole, in FP32 unless told otherwise. */
async function promptLogits(
  model: Described,
  prompts: readonly number[][],
  settings: LoadSettings = {},
): Promise<Float32Array> {
  return withModel(model, settings, async (loaded) => {
    const rows: Float32Array[] = [];
    for (const ids of prompts) rows.push(...(await logitsOf(loaded, ids)));
    return joined(rows);
  });
}

/** [n_layers + 2, n, hidden]: embeddings, each block, final norm. */
function hiddenStates(model: Described, ids: readonly number[]): Float32Array {
  const [taps] = trace({
    ...model,
    options: loadOptions(model),
    steps: [
      { sequences: [{ index: 0, tokens: Int32Array.from(ids) }], rows: Int32Array.from(ids, (_, i) => i) },
    ],
  });
  const blocks = [...model.spec.stack.layers.keys()].map((layer) => `layers.${layer}.ffn_residual`);
  return joined(['embed', ...blocks, 'final_norm'].map((name) => taps!.get(name)!.values));
}

describe.each([
  ['tiny-llama', 'tiny-llama/golden.json'],
  ['tiny-gpt2', 'tiny-gpt2/golden.json'],
  ['tiny-gpt2/tiny-gpt2-f32.gguf', 'tiny-gpt2/golden.json'],
  ['tiny-gpt2-f16', 'tiny-gpt2-f16/golden.json'],
])('%s in FP32', (name, goldenName) => {
  const golden = readGolden<Checkpoint>(goldenName);
  const { float32Error, prompts } = golden;

  it('has the hidden states of the reference after every block', async () => {
    const model = await describeAt(fixtures + name);
    const hidden = prompts.map(({ ids }) => hiddenStates(model, ids));
    const truth = prompts.map((prompt) => valuesOf(prompt.hidden) as Float32Array);
    for (const [i, { ids }] of prompts.entries()) {
      expect(prompts[i]!.hidden.shape).toEqual([
        model.spec.stack.layers.length + 2,
        ids.length,
        model.spec.hiddenSize,
      ]);
    }
    expectErrorWithin(joined(hidden), joined(truth), float32Error.hidden, factor, 'hidden states');
  });
});

describe('llama3 rope scaling', () => {
  const { llama3Rope } = readGolden<Checkpoint>('tiny-llama/golden.json');
  const { ropeScaling, inverseFrequencies, ids, logits, float32Error } = llama3Rope!;

  async function scaledModel(): Promise<Described> {
    const folder = join(scratch, 'llama3-rope');
    cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, rope_scaling: ropeScaling }));
    return describeAt(folder);
  }

  it('has the frequencies and the logits of the reference', async () => {
    const model = await scaledModel();
    expect(model.spec.ropes![0]!.inverseFrequencies).toEqual([...valuesOf(inverseFrequencies)]);
    const scaled = await promptLogits(model, [ids]);
    expectErrorWithin(scaled, valuesOf(logits), float32Error, factor, 'logits');
    // And it matters: without it the same weights say something else.
    const plain = await promptLogits(await describeAt(`${fixtures}tiny-llama`), [ids]);
    expect(differenceOf(plain, scaled).max).toBeGreaterThan(0.1);
  });
});

interface Variants {
  prompts: number[][];
  variants: Record<string, { logits: GoldenTensor; float32Error: GoldenError }>;
  dequantizedSha256: Record<string, Record<string, string>>;
}
const variants = readGolden<Variants>('tiny-llama-variants/golden.json');
const variant = (name: string, folder = 'tiny-llama-variants') => describeAt(`${fixtures}${folder}/${name}`);
/** [folder, file, golden of the folder] */
const stored = ['tiny-llama-variants', 'tiny-llama-blocks', 'gpt-oss-mxfp4'].flatMap((folder) => {
  const golden = readGolden<Variants>(`${folder}/golden.json`);
  return Object.keys(golden.variants).map((name) => [folder, name, golden] as const);
});

/** The model with its tensors as float32, in a new safetensors file. */
async function asFloat32File(model: Described, path: string): Promise<Described> {
  const sources = new Map(Object.values(model.tensors).map((source) => [source.name, source]));
  const container = await native().openContainer(model.paths);
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: number[] }> = {};
  const parts: Buffer[] = [];
  let end = 0;
  for (const entry of container.tensors) {
    const { name } = entry;
    const source = sources.get(name);
    if (source === undefined) continue; // scales
    const { scales, fp4 } = source;
    const shape = fp4 ? [...entry.shape.slice(0, -2), 32 * entry.shape.at(-2)!] : entry.shape;
    const columns = shape.at(-1)!;
    const rows = shape.reduce((product, size) => product * size, 1) / columns;
    const values =
      scales === undefined
        ? readTensor(model.paths, name)
        : readSource(model.paths, { w: { name, scales, fp4 } }, rows, columns);
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
    parts.push(Buffer.from(values.buffer));
  }
  container.close();
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([size, json, ...parts]));
  const plain = ({ scales: _, fp4: __, ...source }: TensorSource): TensorSource => source;
  const tensors = Object.fromEntries(
    Object.entries(model.tensors).map(([name, source]) => [name, plain(source)]),
  );
  return { ...model, tensors, paths: [path] };
}

describe.each(stored)('%s/%s', (folder, name, { prompts }) => {
  it('equals the run of a float32 file of those values, bit for bit', async () => {
    const model = await variant(name, folder);
    const float32 = await asFloat32File(model, join(scratch, `${name}.safetensors`));
    for (const dtype of ['fp32', 'int8'] as const) {
      const expected = await promptLogits(float32, prompts, { dtype });
      expectSameBits(await promptLogits(model, prompts, { dtype }), expected, dtype);
    }
  });
});

const hashed = stored.flatMap(([folder, name, { dequantizedSha256 }]) => {
  const hashes = dequantizedSha256[name];
  return hashes === undefined ? [] : [[folder, name, hashes] as const];
});

describe.each(hashed)('dequantized tensors of %s/%s', (folder, name, hashes) => {
  it('are those of the reference, bit for bit', async () => {
    const { paths } = await variant(name, folder);
    const container = await native().openContainer(paths);
    const names = container.tensors.map((tensor) => tensor.name);
    container.close();
    expect(names.sort()).toEqual(Object.keys(hashes).sort());
    for (const tensor of names) {
      const bytes = Buffer.from(readTensor(paths, tensor).buffer);
      expect(createHash('sha256').update(bytes).digest('hex'), tensor).toBe(hashes[tensor]);
    }
  });
});

it('shards are three files of one model (models.test.ts compares its bits)', async () => {
  expect((await variant('sharded')).paths).toHaveLength(3);
});

it('interleaved rotary rows (GGUF) and half rotary rows (safetensors) are the same model', async () => {
  const gguf = await variant('f32.gguf');
  const folder = await variant('f32');
  expect([gguf.spec.ropes![0]!.kind, folder.spec.ropes![0]!.kind]).toEqual(['interleaved', 'half']);
  const [a, b] = [await promptLogits(gguf, variants.prompts), await promptLogits(folder, variants.prompts)];
  // The same sums in another order: each is as far from the truth as PyTorch's float32 is, so twice that apart.
  const { max, rms } = differenceOf(a, b);
  const { float32Error } = variants.variants.f32!;
  expect(max).toBeLessThanOrEqual(2 * float32Error.max);
  expect(rms).toBeLessThanOrEqual(2 * float32Error.rms);
});
