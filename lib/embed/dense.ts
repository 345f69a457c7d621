/**
 * Dense modules of sentence-transformers, between pooling and the vector: activation(W x + b). Reads their config.json and
 * model.safetensors (F32, F16, BF16); refuses residuals, inputs other than the pooled vector and unknown activations by name.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { count, parseConfig, unsupported } from '../config-schema.js';
import { KvasirError } from '../errors.js';
import { fileExists, readJsonObject } from '../formats/json-file.js';
import { writeSafetensors } from '../safetensors-file.js';

export interface Dense {
  outFeatures: number;
  /** [outFeatures, inFeatures] */
  weight: Float32Array;
  /** [outFeatures] */
  bias: Float32Array | undefined;
  activation: (value: number) => number;
}

/** One without bias and activation. @param weight [outFeatures, inFeatures] */
export function plainDense(outFeatures: number, weight: Float32Array): Dense {
  return { outFeatures, weight, bias: undefined, activation: activations.Identity! };
}

const activations: Readonly<Record<string, Dense['activation']>> = {
  Identity: (value) => value,
  Tanh: Math.tanh,
  ReLU: (value) => Math.max(0, value),
};

const configSchema = v.looseObject({
  in_features: count,
  out_features: count,
  bias: v.optional(v.boolean(), true),
  activation_function: v.optional(v.string(), 'torch.nn.modules.activation.Tanh'),
  module_input_name: v.optional(v.string(), 'sentence_embedding'),
  module_output_name: v.nullish(v.string()),
  use_residual: v.optional(v.boolean(), false),
});

/** Numbers of a layer: 64 million are 256 MB. */
const mostNumbers = 1 << 26;

/** The name of the weights in a module's folder. */
export const denseWeights = 'model.safetensors';

/** Of one folder. Throws MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE. */
export async function readDense(folder: string): Promise<Dense> {
  const path = join(folder, 'config.json');
  const config = parseConfig(configSchema, await readJsonObject(path), path);
  const { in_features: inputs, out_features: outFeatures, activation_function: name } = config;
  const kind = name.slice(name.lastIndexOf('.') + 1);
  const activation = Object.hasOwn(activations, kind) ? activations[kind] : undefined;
  if (activation === undefined) throw unsupported('Dense', `the activation "${kind}"`);
  if (config.use_residual) throw unsupported('Dense', 'a residual connection (use_residual)');
  const { module_input_name: from, module_output_name: to } = config;
  if (from !== 'sentence_embedding' || (to ?? from) !== from) {
    throw unsupported('Dense', `the input "${from}" and output "${to}"`);
  }
  if (inputs * outFeatures > mostNumbers)
    throw wrong(path, `${inputs} x ${outFeatures} numbers are too many`);
  const file = join(folder, denseWeights);
  if (!(await fileExists(file))) throw unsupported('Dense', `weights in another file than ${denseWeights}`);
  const tensors = new Tensors(file, await readFile(file));
  return {
    outFeatures,
    weight: tensors.read('linear.weight', [outFeatures, inputs]),
    bias: config.bias ? tensors.read('linear.bias', [outFeatures]) : undefined,
    activation,
  };
}

/** Writes a folder that `readDense` takes, of one that `plainDense` made. Throws what the file system says. */
export async function writePlainDense({ outFeatures, weight }: Dense, folder: string): Promise<void> {
  const inFeatures = weight.length / outFeatures;
  const config = {
    in_features: inFeatures,
    out_features: outFeatures,
    bias: false,
    activation_function: 'torch.nn.modules.linear.Identity',
  };
  await mkdir(folder);
  await writeFile(join(folder, 'config.json'), JSON.stringify(config, null, 2));
  const shape = [outFeatures, inFeatures];
  await writeSafetensors(join(folder, denseWeights), [{ name: 'linear.weight', shape, values: weight }]);
}

/** [outFeatures] of [inFeatures]. */
export function applyDense(
  { outFeatures, weight, bias, activation }: Dense,
  input: Float64Array,
): Float64Array {
  const output = new Float64Array(outFeatures);
  for (let row = 0, at = 0; row < outFeatures; row++) {
    let sum = bias === undefined ? 0 : bias[row]!;
    for (let i = 0; i < input.length; i++) sum += weight[at++]! * input[i]!;
    output[row] = activation(sum);
  }
  return output;
}

const entrySchema = v.looseObject({
  dtype: v.picklist(['F32', 'F16', 'BF16']),
  shape: v.array(count),
  data_offsets: v.tuple([v.number(), v.number()]),
});

/** A small safetensors file in memory. */
class Tensors {
  readonly #header: Record<string, unknown>;
  readonly #data: Buffer;

  constructor(
    readonly path: string,
    bytes: Buffer,
  ) {
    const length = bytes.length < 8 ? Number.NaN : Number(bytes.readBigUInt64LE(0));
    if (!(length <= bytes.length - 8)) throw wrong(path, 'its header is cut');
    try {
      this.#header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
    } catch {
      throw wrong(path, 'its header is no JSON');
    }
    this.#data = bytes.subarray(8 + length);
  }

  read(name: string, shape: readonly number[]): Float32Array {
    const {
      dtype,
      shape: found,
      data_offsets: offsets,
    } = parseConfig(entrySchema, this.#header[name], `${this.path} (${name})`);
    const [from, to] = offsets;
    const size = shape.reduce((product, n) => product * n, 1);
    const width = dtype === 'F32' ? 4 : 2;
    if (String(found) !== String(shape)) throw wrong(this.path, `${name} is [${found}], not [${shape}]`);
    if (to - from !== size * width || !(from >= 0 && to <= this.#data.length))
      throw wrong(this.path, `${name} lies outside of it`);
    const bytes = this.#data.subarray(from, to);
    return Float32Array.from({ length: size }, (_, i) => readNumber(bytes, i * width, dtype));
  }
}

function readNumber(bytes: Buffer, at: number, dtype: 'F32' | 'F16' | 'BF16'): number {
  if (dtype === 'F32') return bytes.readFloatLE(at);
  const half = bytes.readUInt16LE(at);
  return dtype === 'BF16' ? bfloat16(half) : float16(half);
}

const words = new Uint32Array(1);
const floats = new Float32Array(words.buffer);

function bfloat16(bits: number): number {
  words[0] = bits << 16;
  return floats[0]!;
}

function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function wrong(path: string, why: string): KvasirError {
  return new KvasirError('MODEL_FORMAT', `${path} cannot be used: ${why}.`);
}
