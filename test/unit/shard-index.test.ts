import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readShardIndex } from '../../lib/shard-index.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-shard-index-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function read(text: string): Promise<Map<string, string>> {
  const path = join(folder, 'model.safetensors.index.json');
  writeFileSync(path, text);
  return readShardIndex(path);
}

/** As a mixture of experts has it. */
function expertsIndex(layers: number): { weight_map: Record<string, string> } {
  const map: Record<string, string> = {};
  for (let layer = 0; layer < layers; layer++) {
    for (let expert = 0; expert < 128; expert++) {
      for (const part of ['gate_proj', 'up_proj', 'down_proj']) {
        map[`model.layers.${layer}.mlp.experts.${expert}.${part}.weight`] =
          `model-000${layer + 10}.safetensors`;
      }
    }
  }
  return { weight_map: map };
}

it('an index of megabytes is read, in turns of the event loop', async () => {
  const index = expertsIndex(94);
  const text = JSON.stringify({ metadata: { total_size: 470_187_269_120 }, ...index }, null, 2);
  expect(text.length).toBeGreaterThan(2 ** 21);
  let turns = 0;
  const count = (): void => {
    turns++;
    next = setImmediate(count);
  };
  let next = setImmediate(count);
  const files = await read(text);
  clearImmediate(next);
  expect(Object.fromEntries(files)).toEqual(index.weight_map);
  expect(turns).toBeGreaterThan(16);
});

it.each([
  ['escapes', '{"weight_map":{"a\\u0041\\n":"b\\"\\ud83d\\ude00.safetensors"}}'],
  ['what stands around it', ' {"a":[1,{"weight_map":{"x":"y"}}],"weight_map" : {\n"x":"z"}, "b":null}\n'],
  ['the last of two', '{"weight_map":{"x":"a"},"weight_map":{"x":"b","x":"c"}}'],
  ['characters of several bytes', '{"weight_map":{"ж":"日本.safetensors"}}'],
])('%s as JSON.parse reads it', async (_, text) => {
  expect(Object.fromEntries(await read(text))).toEqual(JSON.parse(text).weight_map);
});

it.each([
  ['', 'not valid JSON near byte 0'],
  ['[]', 'not valid JSON near byte 0'],
  ['{"weight_map":{"x":"a"', 'not valid JSON near byte'],
  ['{"weight_map":{"x":"a"},}', 'not valid JSON near byte'],
  ['{}', 'must have a "weight_map"'],
  ['{"weight_map":{}}', 'must have a "weight_map"'],
  ['{"weight_map":[]}', 'must have a "weight_map"'],
  ['{"weight_map":{"x":"a","y":3}}', 'must have a "weight_map"'],
  ['{"weight_map":{"x":"a"},"weight_map":null}', 'must have a "weight_map"'],
])('%s is refused', async (text, message) => {
  await expect(read(text)).rejects.toMatchObject({
    code: 'MODEL_FORMAT',
    message: expect.stringContaining(message),
  });
});

it('a folder in its place is refused', async () => {
  await expect(readShardIndex(folder)).rejects.toMatchObject({ code: 'MODEL_FORMAT' });
});

it('one that cannot be read is not found', async () => {
  await expect(readShardIndex(join(folder, 'none'))).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
});
