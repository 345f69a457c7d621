/** Adapters that cannot be obeyed, that are damaged, or that another model's are: each is refused, naming what it is. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Model } from '../../lib/model.js';
import { fixtures } from './golden.js';

let model: Model;
const folder = mkdtempSync(join(tmpdir(), 'kvasir-adapter-files-'));
const source = `${fixtures}adapters/llama-all`;

beforeAll(async () => {
  model = await Model.load(`${fixtures}tiny-llama-variants/f32`, { contextLength: 64 });
});
afterAll(async () => {
  await model.dispose();
  rmSync(folder, { recursive: true });
});

interface Header {
  [tensor: string]: { shape: number[]; data_offsets: number[]; dtype: string };
}

/** A copy whose configuration and header are others. */
function changed(
  change: Record<string, unknown>,
  edit: (header: Header) => Header | undefined = () => undefined,
): string {
  const own = mkdtempSync(join(folder, 'a-'));
  cpSync(source, own, { recursive: true });
  const config = JSON.parse(readFileSync(join(own, 'adapter_config.json'), 'utf8')) as object;
  writeFileSync(join(own, 'adapter_config.json'), JSON.stringify({ ...config, ...change }));
  const path = join(own, 'adapter_model.safetensors');
  const bytes = readFileSync(path);
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = edit(JSON.parse(bytes.toString('utf8', 8, end)) as Header);
  if (header) {
    const json = Buffer.from(JSON.stringify(header));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(json.length));
    writeFileSync(path, Buffer.concat([size, json, bytes.subarray(end)]));
  }
  return own;
}

function renamed(from: string, to: string): (header: Header) => Header {
  return (header) =>
    Object.fromEntries(Object.entries(header).map(([name, value]) => [name.replace(from, to), value]));
}

const first = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight';
const unsupported: [Record<string, unknown>, RegExp][] = [
  [{ peft_type: 'LOHA' }, /LOHA/],
  [{ use_dora: true }, /use_dora/],
  [{ modules_to_save: ['lm_head'] }, /modules_to_save/],
  [{ bias: 'lora_only' }, /bias: 'lora_only'/],
  [{ lora_bias: true }, /lora_bias/],
  [{ init_lora_weights: 'pissa_niter_16' }, /pissa_niter_16/],
  [{ layer_replication: [[0, 1]] }, /layer_replication/],
  [{ target_parameters: ['experts'] }, /target_parameters/],
  [{ trainable_token_indices: [1] }, /trainable_token_indices/],
  [{ alora_invocation_tokens: [1, 2] }, /alora_invocation_tokens/],
  [{ rank_pattern: { '(q|k)_proj': 3 } }, /regular expression in rank_pattern/],
  [{ some_new_method: 'x' }, /some_new_method/],
];

it.each(unsupported)('%j is refused by name', async (change, message) => {
  const failed = model.loadAdapter(changed(change));
  await expect(failed).rejects.toMatchObject({ code: 'UNSUPPORTED_ARCHITECTURE' });
  await expect(failed).rejects.toThrow(message);
});

it.each([
  ['lora_magnitude_vector', renamed('q_proj.lora_A.weight', 'q_proj.lora_magnitude_vector')],
  ['modules_to_save', renamed('q_proj.lora_A', 'q_proj.modules_to_save')],
  ['lora_embedding_A', renamed('self_attn.q_proj.lora_A.weight', 'self_attn.q_proj.lora_embedding_A')],
])('a tensor %s is refused by name', async (name, edit) => {
  const failed = model.loadAdapter(changed({}, edit));
  await expect(failed).rejects.toMatchObject({ code: 'UNSUPPORTED_ARCHITECTURE' });
  await expect(failed).rejects.toThrow(name);
});

it('what is damaged is MODEL_FORMAT', async () => {
  const lacking = changed({}, renamed('layers.0.self_attn.q_proj.lora_A', 'layers.0.self_attn.z.lora_A'));
  const cases: [string, RegExp][] = [
    [changed({ r: 'four' }), /r: /],
    [changed({ r: 9 }), /has rank 3, and adapter_config.json says 9/],
    [changed({ lora_alpha: null }), /lora_alpha/],
    [lacking, /(q_proj has no tensor A|z has no tensor B)/],
    [changed({}, (header) => ({ ...header, [first]: { ...header[first]!, shape: [192] } })), /A \[192\]/],
  ];
  for (const [path, message] of cases) {
    const failed = model.loadAdapter(path);
    await expect(failed).rejects.toMatchObject({ code: 'MODEL_FORMAT' });
    await expect(failed).rejects.toThrow(message);
  }
});

it('what is for another model is INVALID_OPTION and says what differs', async () => {
  const cases: [string, RegExp][] = [
    [`${fixtures}adapters/gpt2`, /transformer\.h\.0\.\S+ is no linear of its/],
    [`${fixtures}adapters/phi3`, /down_proj has A .3, 28. and B .*it is for phi3/],
    [changed({}, renamed('layers.0.', 'layers.2.')), /layers\.2\.\S+ is no linear/],
    [changed({}, renamed('layers.0.self_attn.q_proj', 'embed_tokens')), /embed_tokens is no linear/],
    [changed({}, renamed('layers.0.self_attn.k_proj', 'layers.0.mlp.down')), /mlp\.down is no linear/],
  ];
  for (const [path, message] of cases) {
    const failed = model.loadAdapter(path);
    await expect(failed).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(failed).rejects.toThrow(message);
  }
  const smaller = await Model.load(`${fixtures}families/mistral`, { contextLength: 64 });
  try {
    const failed = smaller.loadAdapter(source);
    await expect(failed).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(failed).rejects.toThrow(/has A \[\d+, \d+\] and B .* its linear takes/);
  } finally {
    await smaller.dispose();
  }
});

it('what is not there is MODEL_NOT_FOUND', async () => {
  const empty = mkdtempSync(join(folder, 'b-'));
  writeFileSync(join(folder, 'x.bin'), 'x');
  const lacking = changed({});
  rmSync(join(lacking, 'adapter_model.safetensors'));
  for (const path of [join(folder, 'none'), empty, join(folder, 'x.bin'), lacking]) {
    await expect(model.loadAdapter(path)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
  }
  await expect(model.loadAdapter(lacking)).rejects.toThrow(/adapter_model\.bin/);
  writeFileSync(join(folder, 'x.gguf'), 'GGUF');
  await expect(model.loadAdapter(join(folder, 'x.gguf'))).rejects.toMatchObject({ code: 'MODEL_FORMAT' });
  const whole = model.loadAdapter(`${fixtures}tiny-llama-variants/f32.gguf`);
  await expect(whole).rejects.toThrow(/general.type/);
  await expect(model.loadAdapter(7 as never)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

it('nothing of a refused adapter stays', async () => {
  const before = await model.generate('abc', { maxTokens: 8, temperature: 0 });
  await expect(model.loadAdapter(changed({ use_dora: true }))).rejects.toThrow();
  const adapter = await model.loadAdapter(source);
  expect(adapter.info.memory.actual).toBe(adapter.info.memory.predicted);
  await adapter.dispose();
  expect((await model.generate('abc', { maxTokens: 8, temperature: 0 })).tokens).toEqual(before.tokens);
});
