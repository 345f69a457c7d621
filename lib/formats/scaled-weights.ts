/**
 * `quantization_config` of config.json: weights in few bits with scales in tensors beside them. Read are FP8 (E4M3, a scale a
 * tensor, row or block; also as compressed-tensors writes it) and MXFP4 of gpt-oss. All others are refused by name.
 */
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import { KvasirError } from '../errors.js';
import type { TensorEntry, TensorScales, TensorSource } from '../native.js';

/** Where the values of one tensor lie, and what they are before scales. */
export interface FoundTensor {
  entry: TensorEntry;
  source: Pick<TensorSource, 'name' | 'fp4' | 'scales'>;
  /** Entries beside `entry` that are read with it. */
  scales?: TensorEntry;
  elements: number;
  dtype: string;
  /** It lies transposed to what the same model has without quantization. */
  transposed?: true;
}

type Entries = ReadonlyMap<string, TensorEntry>;

/** How a checkpoint stores its weights. */
export interface WeightForm {
  /** Undefined: there is no such tensor. Throws MODEL_FORMAT where its scales are missing. */
  find(name: string, entries: Entries): FoundTensor | undefined;
  /** Tensors that say how activations were quantized, which here are not, or in a way of their own. */
  ignored: readonly RegExp[];
}

const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

function asStored(name: string, entries: Entries): FoundTensor | undefined {
  const entry = entries.get(name);
  if (entry === undefined) return undefined;
  return { entry, source: { name }, elements: elementsOf(entry.shape), dtype: entry.dtype };
}

export const plainForm: WeightForm = { find: asStored, ignored: [] };

/** Names after that of the weight. */
const fp8Scales = ['_scale_inv', '_scale'];

/** `block`: [rows, columns], or undefined: a scale a tensor or a row. */
function fp8Form(block: readonly [number, number] | undefined): WeightForm {
  const find = (name: string, entries: Entries): FoundTensor | undefined => {
    const found = asStored(name, entries);
    if (found?.dtype !== 'F8_E4M3') return found;
    const scales = fp8Scales.map((ending) => entries.get(name + ending)).find((entry) => entry !== undefined);
    if (scales === undefined) {
      throw new KvasirError(
        'MODEL_FORMAT',
        `The model file lacks ${name}_scale_inv (or ${name}_scale), the scales of ${name}, which is FP8. The file is incomplete.`,
      );
    }
    const place = { name: scales.name, ...blockOf(found.entry, scales, block) };
    return { ...found, scales, source: { name, scales: place } };
  };
  return { find, ignored: [/[._](input_scale|activation_scale)$/] };
}

/** Whether there are as many scales as blocks is checked natively. */
function blockOf(
  { shape }: TensorEntry,
  scales: TensorEntry,
  block: readonly [number, number] | undefined,
): Omit<TensorScales, 'name'> {
  const [rows = 1, columns = 1] = shape.slice(-2);
  if (block !== undefined) return { rows: block[0], columns: block[1] };
  return { rows: elementsOf(scales.shape) === 1 ? rows : 1, columns };
}

/** Values that share an exponent. */
const mxfp4Block = 32;

/** `NAME_blocks` [..., out, in / 32, 16] and `NAME_scales` [..., out, in / 32] for NAME [..., in, out]. */
const mxfp4Form: WeightForm = {
  find(name, entries) {
    const entry = entries.get(`${name}_blocks`);
    if (entry === undefined) return asStored(name, entries);
    const scales = entries.get(`${name}_scales`);
    if (scales === undefined) {
      throw new KvasirError(
        'MODEL_FORMAT',
        `The model file lacks ${name}_scales, the scales of ${entry.name}. The file is incomplete.`,
      );
    }
    return {
      entry,
      scales,
      source: {
        name: entry.name,
        fp4: true,
        scales: { name: scales.name, rows: 1, columns: mxfp4Block },
      },
      elements: 2 * elementsOf(entry.shape),
      dtype: 'MXFP4',
      transposed: true,
    };
  },
  ignored: [],
};

const where = 'quantization_config in config.json';
const supported =
  'fp8 (E4M3 weights), compressed-tensors (the same) and mxfp4. Use the unquantized folder or a GGUF file';

function refuse(what: string): never {
  throw new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `${where} has ${what}, which is not supported; supported are ${supported}.`,
  );
}

const blockSize = v.nullish(v.tuple([count, count]));

const fp8Schema = v.looseObject({ fmt: v.nullish(v.string()), weight_block_size: blockSize });

function fp8(config: Record<string, unknown>): WeightForm {
  const { fmt, weight_block_size: block } = parseConfig(fp8Schema, config, where);
  if ((fmt ?? 'e4m3') !== 'e4m3') refuse(`fmt ${JSON.stringify(fmt)}`);
  return fp8Form(block ?? undefined);
}

const compressedSchema = v.looseObject({
  format: v.nullish(v.string()),
  config_groups: v.record(
    v.string(),
    v.looseObject({
      weights: v.looseObject({
        num_bits: v.number(),
        type: v.nullish(v.string()),
        block_structure: blockSize,
      }),
    }),
  ),
});

function compressedTensors(config: Record<string, unknown>): WeightForm {
  const { format, config_groups: groups } = parseConfig(compressedSchema, config, where);
  if (config.kv_cache_scheme !== undefined && config.kv_cache_scheme !== null) refuse('a kv_cache_scheme');
  const blocks = Object.values(groups).map(({ weights }) => {
    if (weights.num_bits !== 8 || weights.type !== 'float') {
      refuse(`compressed-tensors weights of ${weights.num_bits} bits, type ${weights.type ?? 'int'}`);
    }
    return weights.block_structure ?? undefined;
  });
  if (format !== 'float-quantized' && format !== 'naive-quantized') {
    refuse(`the compressed-tensors format ${JSON.stringify(format)}`);
  }
  if (new Set(blocks.map(String)).size > 1) refuse('compressed-tensors groups of several block sizes');
  return fp8Form(blocks[0]);
}

/** Of the parsed config.json. Throws UNSUPPORTED_ARCHITECTURE, naming the method. */
export function weightFormOf(config: Readonly<Record<string, unknown>>): WeightForm {
  const given = config.quantization_config;
  if (given === undefined || given === null) return plainForm;
  const quantization = parseConfig(v.looseObject({ quant_method: v.nullish(v.string()) }), given, where);
  switch (quantization.quant_method) {
    case 'fp8':
      return fp8(quantization);
    case 'compressed-tensors':
      return compressedTensors(quantization);
    case 'mxfp4':
      return mxfp4Form;
    default:
      return refuse(
        quantization.quant_method == null
          ? 'no quant_method'
          : `quant_method ${JSON.stringify(quantization.quant_method.slice(0, 60))}`,
      );
  }
}
