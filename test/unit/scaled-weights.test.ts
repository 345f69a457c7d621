/** Which tensor has which scales, as config.json says; and what other tools write is refused by name. */
import { describe, expect, it } from 'vitest';
import { weightFormOf } from '../../lib/formats/scaled-weights.js';
import type { TensorEntry } from '../../lib/native.js';

function entries(...list: [name: string, dtype: string, ...shape: number[]][]): Map<string, TensorEntry> {
  return new Map(list.map(([name, dtype, ...shape]) => [name, { name, dtype, shape, bytes: 0 }]));
}

const find = (quantization: object | undefined, name: string, all: Map<string, TensorEntry>) =>
  weightFormOf({ quantization_config: quantization }).find(name, all);

const w = 'layers.0.q_proj.weight';

describe('FP8', () => {
  const blocks = { quant_method: 'fp8', weight_block_size: [128, 64], activation_scheme: 'dynamic' };

  it('has blocks as the configuration says', () => {
    const all = entries([w, 'F8_E4M3', 300, 200], [`${w}_scale_inv`, 'F32', 3, 4]);
    expect(find(blocks, w, all)).toMatchObject({
      entry: { name: w },
      scales: { name: `${w}_scale_inv` },
      source: { name: w, scales: { name: `${w}_scale_inv`, rows: 128, columns: 64 } },
      elements: 60_000,
      dtype: 'F8_E4M3',
    });
  });

  it.each([
    [[], 300],
    [[1], 300],
    [[300], 1],
    [[300, 1], 1],
  ])('without blocks, scales of shape %j are of %i rows', (shape, rows) => {
    const all = entries([w, 'F8_E4M3', 300, 200], [`${w}_scale`, 'BF16', ...shape]);
    expect(find({ quant_method: 'fp8' }, w, all)?.source).toEqual({
      name: w,
      scales: { name: `${w}_scale`, rows, columns: 200 },
    });
  });

  it('leaves other tensors as they are, and says which scales are missing', () => {
    const all = entries([w, 'BF16', 4, 4], ['lm_head.weight', 'F8_E4M3', 4, 4]);
    expect(find(blocks, w, all)?.source).toEqual({ name: w });
    expect(find(blocks, 'none', all)).toBeUndefined();
    expect(() => find(blocks, 'lm_head.weight', all)).toThrow(/lacks lm_head.weight_scale_inv/);
  });

  it('is read as compressed-tensors writes it', () => {
    const weights = { num_bits: 8, type: 'float', strategy: 'block', block_structure: [128, 128] };
    const config = {
      quant_method: 'compressed-tensors',
      format: 'float-quantized',
      config_groups: { group_0: { targets: ['Linear'], weights } },
      ignore: ['lm_head'],
    };
    const all = entries([w, 'F8_E4M3', 256, 128], [`${w}_scale`, 'BF16', 2, 1]);
    expect(find(config, w, all)?.source.scales).toEqual({ name: `${w}_scale`, rows: 128, columns: 128 });
    const channel = { ...weights, strategy: 'channel', block_structure: undefined };
    const rows = entries([w, 'F8_E4M3', 256, 128], [`${w}_scale`, 'BF16', 256, 1]);
    const perRow = find({ ...config, config_groups: { a: { weights: channel } } }, w, rows);
    expect(perRow?.source.scales).toEqual({ name: `${w}_scale`, rows: 1, columns: 128 });
  });

  it('passes over what says how activations were quantized', () => {
    const { ignored } = weightFormOf({ quantization_config: blocks });
    const passed = (name: string) => ignored.some((pattern) => pattern.test(name));
    expect(passed('layers.0.q_proj.input_scale')).toBe(true);
    expect(passed('experts.gate_up_proj_activation_scale')).toBe(true);
    expect(passed('layers.0.q_proj.weight_scale')).toBe(false);
    expect(passed('layers.0.k_scale')).toBe(false);
  });
});

describe('MXFP4', () => {
  const mxfp4 = { quant_method: 'mxfp4', modules_to_not_convert: ['lm_head'] };
  const name = 'experts.down_proj';

  it('is blocks and scales in the place of a transposed tensor', () => {
    const all = entries([`${name}_blocks`, 'U8', 4, 96, 2, 16], [`${name}_scales`, 'U8', 4, 96, 2]);
    expect(find(mxfp4, name, all)).toMatchObject({
      source: {
        name: `${name}_blocks`,
        fp4: true,
        scales: { name: `${name}_scales`, rows: 1, columns: 32 },
      },
      elements: 4 * 96 * 64,
      dtype: 'MXFP4',
      transposed: true,
    });
  });

  it('leaves other tensors as they are, and says which scales are missing', () => {
    const all = entries([`${name}_blocks`, 'U8', 4, 96, 2, 16], ['router.weight', 'BF16', 4, 96]);
    expect(find(mxfp4, 'router.weight', all)?.source).toEqual({ name: 'router.weight' });
    expect(() => find(mxfp4, name, all)).toThrow(/lacks experts.down_proj_scales/);
  });
});

describe('what is not read', () => {
  const compressed = (weights: object, more: object = {}) => ({
    quant_method: 'compressed-tensors',
    format: 'float-quantized',
    config_groups: { a: { weights } },
    ...more,
  });
  const fp8 = { num_bits: 8, type: 'float' };

  it.each([
    [{ quant_method: 'gptq', bits: 4 }, 'quant_method "gptq"'],
    [{ quant_method: 'awq', bits: 4 }, 'quant_method "awq"'],
    [{ quant_method: 'bitsandbytes', load_in_4bit: true }, 'quant_method "bitsandbytes"'],
    [{ quant_method: 'quanto' }, 'quant_method "quanto"'],
    [{ load_in_8bit: true }, 'no quant_method'],
    [{ quant_method: 'fp8', fmt: 'e5m2' }, 'fmt "e5m2"'],
    [compressed({ num_bits: 4, type: 'int' }), 'weights of 4 bits, type int'],
    [compressed(fp8, { format: 'pack-quantized' }), 'format "pack-quantized"'],
    [compressed(fp8, { kv_cache_scheme: { num_bits: 8 } }), 'kv_cache_scheme'],
  ])('%j is refused by name, with what is supported', (quantization, named) => {
    expect(() => weightFormOf({ quantization_config: quantization })).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_ARCHITECTURE',
        message: expect.stringMatching(new RegExp(`${named}.*supported are fp8.*mxfp4`)),
      }),
    );
  });

  it('a configuration that makes no sense is MODEL_FORMAT', () => {
    for (const wrong of ['fp8', { quant_method: 'fp8', weight_block_size: [0, 128] }, { quant_method: 3 }]) {
      expect(() => weightFormOf({ quantization_config: wrong })).toThrow(
        expect.objectContaining({ code: 'MODEL_FORMAT' }),
      );
    }
  });
});
