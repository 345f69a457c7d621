/** Files that people have and that cannot be loaded: the error says what is missing or what is supported. */
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { fixtures } from './golden.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-wrong-files-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function refused(reference: string, code: string, ...parts: (string | RegExp)[]): Promise<void> {
  const error = await Model.load(reference, { device: 'cpu' }).then(
    () => expect.fail('it should have been refused'),
    (reason) => reason,
  );
  expect(error.code, error.message).toBe(code);
  for (const part of parts) expect(error.message).toMatch(part);
}

function edit(name: string, change: (json: Record<string, unknown>) => object): void {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
}

describe('shards', () => {
  const index = 'model.safetensors.index.json';
  beforeEach(() => cpSync(`${fixtures}tiny-llama-variants/sharded`, folder, { recursive: true }));

  it('one that is missing is named', async () => {
    rmSync(join(folder, 'model-00002-of-00003.safetensors'));
    await refused(folder, 'MODEL_FORMAT', 'lacks 1 of 3 weight files: model-00002-of-00003.safetensors');
  });

  it('a tensor of the index that no shard has is named, with the shard', async () => {
    edit(index, (json) => ({
      ...json,
      weight_map: {
        ...(json.weight_map as object),
        'model.layers.9.mlp.up_proj.weight': 'model-00003-of-00003.safetensors',
      },
    }));
    await refused(
      folder,
      'MODEL_FORMAT',
      'model-00003-of-00003.safetensors has the tensor model.layers.9.mlp.up_proj.weight, but no shard has it',
    );
  });

  it('a tensor may lie in another shard than the index says', async () => {
    edit(index, (json) => ({
      ...json,
      weight_map: Object.fromEntries(
        Object.keys(json.weight_map as object).map((name, i) => [
          name,
          `model-0000${(i % 3) + 1}-of-00003.safetensors`,
        ]),
      ),
    }));
    const model = await Model.load(folder, { device: 'cpu' });
    await model.dispose();
  });

  it('one of another model makes the index wrong', async () => {
    cpSync(`${fixtures}tiny-gpt2/model.safetensors`, join(folder, 'model-00002-of-00003.safetensors'));
    await refused(folder, 'MODEL_FORMAT', 'model-00002-of-00003.safetensors', 'but no shard has it');
  });
});

describe('PyTorch weights', () => {
  it.each([
    ['pytorch_model.bin'],
    ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'],
    ['consolidated.00.pth'],
    ['model.pt'],
  ])('%s are refused with a pointer to safetensors', async (...names) => {
    cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
    rmSync(join(folder, 'model.safetensors'));
    for (const name of names) writeFileSync(join(folder, name), 'PK');
    await refused(folder, 'MODEL_FORMAT', names.join(', '), '.safetensors or .gguf', 'save_pretrained');
  });

  it('without config.json too, and as a file', async () => {
    writeFileSync(join(folder, 'consolidated.00.pth'), 'PK');
    await refused(folder, 'MODEL_FORMAT', 'consolidated.00.pth', '.safetensors or .gguf');
    await refused(
      join(folder, 'consolidated.00.pth'),
      'MODEL_FORMAT',
      'consolidated.00.pth',
      '.safetensors or .gguf',
    );
  });

  it('under the name of safetensors are seen by their bytes', async () => {
    cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
    writeFileSync(
      join(folder, 'model.safetensors'),
      Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(64)]),
    );
    await refused(folder, 'MODEL_FORMAT', 'PyTorch checkpoint', '.safetensors or .gguf');
  });

  it.each([
    ['tf_model.h5', 'TensorFlow or Keras'],
    ['flax_model.msgpack', 'Flax'],
    ['model.onnx', 'ONNX'],
    ['weights.00.npz', 'NumPy'],
  ])('of another framework, %s, are named, in a folder and as a file', async (name, framework) => {
    cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
    renameSync(join(folder, 'model.safetensors'), join(folder, name));
    const said = [`${folder} has weights of ${framework} only: ${name}`, '.safetensors or .gguf'];
    await refused(folder, 'MODEL_FORMAT', ...said);
    await refused(join(folder, name), 'MODEL_FORMAT', ...said);
    rmSync(join(folder, 'config.json'));
    await refused(folder, 'MODEL_FORMAT', ...said);
  });

  it('beside safetensors are passed over', async () => {
    cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
    writeFileSync(join(folder, 'pytorch_model.bin'), 'PK');
    const model = await Model.load(folder, { device: 'cpu' });
    await model.dispose();
  });
});

describe('families', () => {
  it('an unknown model_type is refused with those that are supported', async () => {
    cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
    edit('config.json', (json) => ({ ...json, model_type: 'mamba2' }));
    await refused(
      folder,
      'UNSUPPORTED_ARCHITECTURE',
      'model_type in config.json is "mamba2"',
      /supported are llama, .*qwen3/,
    );
  });

  it('an unknown GGUF architecture is refused with those that are supported', async () => {
    const path = patched('q4_k.gguf', 'general.architecture', (bytes, at) => bytes.write('mamb2', at + 12));
    await refused(
      path,
      'UNSUPPORTED_ARCHITECTURE',
      'general.architecture in the GGUF file is "mamb2"',
      /supported are llama, .*qwen3/,
    );
  });
});

/** A copy of a GGUF file with the bytes after a key or name changed. */
function patched(file: string, key: string, change: (bytes: Buffer, at: number) => void): string {
  const bytes = readFileSync(`${fixtures}tiny-llama-blocks/${file}`);
  const at = bytes.indexOf(key);
  expect(at).toBeGreaterThan(0);
  change(bytes, at + key.length);
  const path = join(folder, file);
  writeFileSync(path, bytes);
  return path;
}

describe('GGUF files', () => {
  it('without merges', async () => {
    // The key of another list.
    const path = patched('q4_k.gguf', 'tokenizer.ggml.merges', (bytes, at) => bytes.write('X', at - 1));
    await refused(
      path,
      'MODEL_FORMAT',
      'no merges (tokenizer.ggml.merges)',
      '"gpt2" (BPE)',
      'Convert the model again',
    );
  });

  it.each([
    [19, 'IQ1_S'],
    [16, 'IQ2_XXS'],
    [34, 'TQ1_0'],
    [35, 'TQ2_0'],
    [41, 'Q1_0'],
    [37, 'ggml type 37'],
  ])('with a tensor of type %i (%s), which is named, with those that can be read', async (type, name) => {
    const tensor = 'blk.0.ffn_up.weight';
    // Number of dimensions, two of them, type.
    const path = patched('q4_k.gguf', tensor, (bytes, at) => bytes.writeUInt32LE(type, at + 4 + 16));
    await refused(
      path,
      'MODEL_FORMAT',
      `'${tensor}' is stored as '${name}'`,
      /F32, F16, .*Q4_K, .*IQ4_XS, MXFP4/,
    );
  });

  it('whose scales are no numbers, by tensor, in both dtypes', async () => {
    const bytes = readFileSync(`${fixtures}tiny-llama-blocks/q6_k.gguf`);
    // The last tensor of the file: a block of Q8_0 or Q6_K ends it, or padding; its scale comes to be infinite.
    const path = join(folder, 'm.gguf');
    writeFileSync(path, infinite(bytes));
    for (const dtype of ['fp32', 'int8'] as const) {
      await expect(Model.load(path, { device: 'cpu', dtype })).rejects.toMatchObject({
        code: 'MODEL_FORMAT',
        message: expect.stringMatching(
          /'blk\.0\.\w+\.weight' holds a value that is infinite or not a number/,
        ),
      });
    }
  });
});

/** With bytes in the middle of the tensors set, so that a scale among them is no number. */
function infinite(bytes: Buffer): Buffer {
  return bytes.fill(0xff, bytes.length - 20_000, bytes.length - 19_000);
}

it('a folder of GGUF files and config.json says which file to name', async () => {
  cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
  renameSync(join(folder, 'model.safetensors'), join(folder, 'tiny-Q8_0.gguf'));
  await refused(folder, 'MODEL_FORMAT', 'no .safetensors file', 'tiny-Q8_0.gguf');
});

it.each([
  ['version https://git-lfs.github.com/spec/v1\noid sha256:00', 'Git LFS pointer', 'git lfs pull'],
  ['<!DOCTYPE html><html><head></head></html>', 'web page', 'Download the file itself'],
  ['{"error":"Invalid credentials in Authorization header"}', 'JSON text', 'Download the file itself'],
  ['Entry not found', "text, not a model: it begins with 'Entry not found'", 'Download the file itself'],
  ['\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0', 'HDF5 file of TensorFlow or Keras', '.safetensors or .gguf'],
  ['\x1f\x8b\x08\0\0\0\0\0\0\x03\0\0\0\0\0\0', 'compressed archive', 'Unpack it'],
  ['tjgg\x03\0\0\0\0\x7d\0\0\0\x10\0\0', 'before GGUF', 'convert the model again'],
  ['', 'is empty', 'Download it again'],
])('%j in the place of a model is told by its first bytes', async (bytes, what, remedy) => {
  cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
  for (const name of ['model.safetensors', 'model.gguf']) {
    writeFileSync(join(folder, name), Buffer.from(bytes, 'latin1'));
    await refused(name.endsWith('.gguf') ? join(folder, name) : folder, 'MODEL_FORMAT', what, remedy, name);
  }
});

it('a quantization_config of another tool is refused by name', async () => {
  cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
  edit('config.json', (json) => ({ ...json, quantization_config: { quant_method: 'gptq', bits: 4 } }));
  await refused(folder, 'UNSUPPORTED_ARCHITECTURE', 'quant_method "gptq"', 'supported are fp8');
});

it('FP8 weights without their scales, or with scales of another size, are named', async () => {
  cpSync(`${fixtures}tiny-llama-blocks/fp8`, folder, { recursive: true });
  const path = join(folder, 'model.safetensors');
  const scales = 'model.layers.0.mlp.up_proj.weight_scale_inv';
  const bytes = readFileSync(path);
  const renamed = Buffer.from(
    bytes.toString('latin1').replace(scales, scales.replace('_inv', '_abc')),
    'latin1',
  );
  writeFileSync(path, renamed);
  await refused(folder, 'MODEL_FORMAT', `lacks ${scales}`);
  writeFileSync(path, bytes);
  edit('config.json', (json) => ({
    ...json,
    quantization_config: { quant_method: 'fp8', weight_block_size: [32, 64] },
  }));
  await refused(folder, 'MODEL_FORMAT', "_scale_inv' have", 'blocks of 32 x 64 need');
});

it('a file that is missing altogether is named', async () => {
  cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
  renameSync(join(folder, 'model.safetensors'), join(folder, 'weights.txt'));
  await refused(folder, 'MODEL_FORMAT', 'no .safetensors file');
});
