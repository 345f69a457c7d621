/** Dense steps between the pooling and the vector: stored types, sizes, and what is refused by name. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readDense } from '../../lib/embed/dense.js';
import { Model } from '../../lib/index.js';
import { expectWithin, fixtures } from './golden.js';

const mpnet = `${fixtures}encoders/mpnet`;
const text = 'The creature opened its eyes.';
const created: string[] = [];
afterAll(() => {
  for (const folder of created) rmSync(folder, { recursive: true });
});

/** The fixture with another configuration of its dense step. */
function folderWith(changes: Record<string, unknown>): string {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-dense-'));
  created.push(folder);
  cpSync(mpnet, folder, { recursive: true });
  const path = join(folder, '2_Dense', 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...config, ...changes }));
  return folder;
}

function safetensors(
  path: string,
  tensors: Record<string, { dtype: string; shape: number[]; bytes: Buffer }>,
) {
  let at = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([length, json, ...Object.values(tensors).map(({ bytes }) => bytes)]));
}

async function vectorOf(folder: string): Promise<Float32Array> {
  const model = await Model.load(folder, { dtype: 'fp32' });
  try {
    return (await model.embed(text, { normalize: false }))[0]!;
  } finally {
    await model.dispose();
  }
}

it('the activation counts, and vectors have the size of the last step', async () => {
  const [tanh, identity, relu] = await Promise.all(
    ['Tanh', 'Identity', 'ReLU'].map((name) =>
      vectorOf(folderWith({ activation_function: `torch.nn.modules.activation.${name}` })),
    ),
  );
  expect(identity).toHaveLength(20);
  expect(Math.min(...identity!)).toBeLessThan(0);
  expectWithin(tanh!, identity!.map(Math.tanh), 1e-6, 'tanh');
  expectWithin(
    relu!,
    identity!.map((value) => Math.max(0, value)),
    1e-6,
    'relu',
  );
  const model = await Model.load(mpnet);
  expect((await model.embed(text, { dimensions: 20 }))[0]).toHaveLength(20);
  await expect(model.embed(text, { dimensions: 21 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await model.dispose();
});

it('weights are F32, F16 or BF16', async () => {
  const folder = join(folderWith({ in_features: 2, out_features: 1, bias: false }), '2_Dense');
  const path = join(folder, 'model.safetensors');
  const of = async (dtype: string, words: number[]) => {
    const bytes = Buffer.from(new Uint16Array(words).buffer);
    safetensors(path, { 'linear.weight': { dtype, shape: [1, 2], bytes } });
    return [...(await readDense(folder)).weight];
  };
  expect(await of('F16', [0x3c00, 0xc100])).toEqual([1, -2.5]);
  expect(await of('F16', [0x0001, 0x7bff])).toEqual([2 ** -24, 65504]);
  expect(await of('BF16', [0x3f80, 0xc020])).toEqual([1, -2.5]);
  expect(await of('F32', [0, 0x3f80, 0, 0xc020])).toEqual([1, -2.5]);
});

it.each([
  [
    'the activation "GELU"',
    { activation_function: 'torch.nn.modules.activation.GELU' },
    'UNSUPPORTED_ARCHITECTURE',
  ],
  ['the activation "constructor"', { activation_function: 'constructor' }, 'UNSUPPORTED_ARCHITECTURE'],
  ['use_residual', { use_residual: true }, 'UNSUPPORTED_ARCHITECTURE'],
  ['token_embeddings', { module_input_name: 'token_embeddings' }, 'UNSUPPORTED_ARCHITECTURE'],
  ['is [20,32], not [21,32]', { out_features: 21 }, 'MODEL_FORMAT'],
  ['too many', { in_features: 2 ** 20, out_features: 2 ** 20 }, 'MODEL_FORMAT'],
])('%s is refused', async (message, changes, code) => {
  const loading = Model.load(folderWith(changes));
  await expect(loading).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
});

it('a file that is cut is MODEL_FORMAT', async () => {
  const folder = join(folderWith({}), '2_Dense');
  const path = join(folder, 'model.safetensors');
  const whole = readFileSync(path);
  for (const length of [0, 7, 20, whole.length - 1]) {
    writeFileSync(path, whole.subarray(0, length));
    await expect(readDense(folder)).rejects.toMatchObject({ code: 'MODEL_FORMAT' });
  }
});
