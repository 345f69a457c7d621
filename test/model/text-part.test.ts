/** Checkpoints that also see pictures: their text part gives the bits of the same weights as a model of text. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectSameBits, fixtures } from './golden.js';
import { describeAt, joined, logitsOf, withModel } from './native-model.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-text-part-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Header {
  [name: string]: { dtype: string; shape: number[]; data_offsets: [number, number] };
}

/** The family's checkpoint with other names, and a tensor of another part. */
function writeWhole(
  family: string,
  modelType: string,
  rename: (name: string) => string,
  other: string,
): void {
  const source = `${fixtures}families/${family}`;
  cpSync(source, folder, { recursive: true });
  const bytes = readFileSync(join(source, 'model.safetensors'));
  const headerBytes = Number(bytes.readBigUInt64LE());
  const header: Header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString());
  const data = bytes.subarray(8 + headerBytes);
  const { __metadata__: _, ...tensors } = header;
  const renamed: Header = Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [rename(name), tensor]),
  );
  renamed[other] = { dtype: 'F32', shape: [2], data_offsets: [data.length, data.length + 8] };
  const text = Buffer.from(JSON.stringify(renamed));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, text, data, Buffer.alloc(8)]));
  const path = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(
    path,
    JSON.stringify({ model_type: modelType, text_config: config, vision_config: { model_type: 'siglip' } }),
  );
}

async function logitsAt(path: string): Promise<Float32Array> {
  return withModel(await describeAt(path), { kvCapacity: 256 }, async (model) =>
    joined(await logitsOf(model, [1, 5, 17, 100, 42, 7, 9, 11])),
  );
}

const newer = (name: string): string => name.replace(/^model\./, 'model.language_model.');
const older = (name: string): string => `language_model.${name}`;

it.each([
  ['qwen3_5_text', 'qwen3_5'],
  ['qwen3_5_moe_text', 'qwen3_5_moe'],
])('%s in %s', async (family, whole) => {
  writeWhole(family, whole, newer, 'model.visual.pos_embed.weight');
  expectSameBits(await logitsAt(folder), await logitsAt(`${fixtures}families/${family}`), 'logits');
  writeWhole(family, whole, newer, 'model.audio_tower.weight');
  await expect(describeAt(folder)).rejects.toMatchObject({
    code: 'UNSUPPORTED_ARCHITECTURE',
    message: expect.stringContaining('model.audio_tower.weight'),
  });
});

describe.each([
  ['gemma3_text', 'gemma3'],
  ['mistral', 'mistral3'],
  ['ministral3', 'mistral3'],
])('%s in %s', (family, whole) => {
  it.each([
    ['newer', newer, 'model.vision_tower.patch.weight'],
    ['older', older, 'multi_modal_projector.mm_soft_emb_norm.weight'],
  ])('with the %s names of tensors', async (_, rename, other) => {
    writeWhole(family, whole, rename, other);
    expectSameBits(await logitsAt(folder), await logitsAt(`${fixtures}families/${family}`), 'logits');
  });

  it('a tensor that is of no part is not passed over', async () => {
    writeWhole(family, whole, newer, 'model.audio_tower.weight');
    await expect(describeAt(folder)).rejects.toMatchObject({
      code: 'UNSUPPORTED_ARCHITECTURE',
      message: expect.stringContaining('model.audio_tower.weight'),
    });
  });
});

it('a text part that is no family here is named', async () => {
  writeWhole('gemma3_text', 'mistral3', newer, 'vision_tower.x');
  const path = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  config.text_config.model_type = 'deepseek_v3';
  writeFileSync(path, JSON.stringify(config));
  await expect(describeAt(folder)).rejects.toMatchObject({
    code: 'UNSUPPORTED_ARCHITECTURE',
    message: expect.stringContaining('model_type in text_config of config.json is "deepseek_v3"'),
  });
});

it('without one the file is refused', async () => {
  writeWhole('gemma3_text', 'gemma3', newer, 'vision_tower.x');
  writeFileSync(join(folder, 'config.json'), '{"model_type":"gemma3"}');
  await expect(describeAt(folder)).rejects.toMatchObject({
    code: 'MODEL_FORMAT',
    message: expect.stringContaining('text_config'),
  });
});
