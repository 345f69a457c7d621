/**
 * The INT8 form of a model, as `kvasir quantize` writes it: what the metadata of its weights says, in both directions.
 * The weights themselves, their scheme and their checksums are native's business (native/model/stored_weights.h).
 */
import * as v from 'valibot';
import { count, finite, parseConfig, positive } from '../architectures/config-schema.js';
import { checkSpec } from '../architectures/spec-checks.js';
import { KvasirError } from '../errors.js';
import type { Container, ModelSpec, TensorEntry, TensorMap } from '../native.js';
import { parseJsonObject } from './json-file.js';

/** `format` in the metadata of the weights, and `quant_method` in config.json. */
export const int8Format = 'kvasir-int8';

/** What only the file knows of where it came from. */
export interface Int8Origin {
  /** Display name of the model that was quantized. */
  source: string;
  /** How its file stored most of its weights. */
  sourceDtype: string;
}

export interface Int8Form extends Int8Origin {
  architecture: string;
  spec: ModelSpec;
  tensors: TensorMap;
  parameters: number;
}

export function isInt8Form({ format, metadata }: Container): boolean {
  return format === 'safetensors' && metadata.format === int8Format;
}

/** Every field of a spec; a stored one that is not known here is refused. */
const specFields = {
  vocabSize: count,
  hiddenSize: count,
  nLayers: count,
  nHeads: count,
  nKvHeads: count,
  headDim: count,
  ffnSize: count,
  maxPositions: count,
  norm: v.picklist(['rms', 'layer']),
  normEps: finite,
  activation: v.picklist(['silu', 'gelu_tanh', 'gelu_erf']),
  gated: v.boolean(),
  rope: v.optional(
    v.strictObject({
      kind: v.picklist(['half', 'interleaved']),
      inverseFrequencies: v.pipe(v.array(finite), v.minLength(1)),
    }),
  ),
  attentionScale: v.optional(positive),
} satisfies Record<keyof ModelSpec, v.GenericSchema>;
const specSchema = v.strictObject(specFields);
type StoredSpec = v.InferOutput<typeof specSchema>;

/** float32 values are doubles exactly, and JSON keeps doubles exactly. */
function storedSpec({ rope, ...spec }: ModelSpec): StoredSpec {
  if (rope === undefined) return spec;
  return { ...spec, rope: { ...rope, inverseFrequencies: [...rope.inverseFrequencies] } };
}

function parseSpec(json: string): ModelSpec {
  const where = 'the spec in the metadata of the INT8 form';
  const { rope, ...spec } = parseConfig(specSchema, parseJsonObject(json, where), where);
  const frequencies = rope && Float32Array.from(rope.inverseFrequencies);
  return checkSpec({ ...spec, ...(rope ? { rope: { ...rope, inverseFrequencies: frequencies! } } : {}) });
}

/** What the metadata says beside the scheme, which native adds. */
export function int8Metadata(
  architecture: string,
  spec: ModelSpec,
  { source, sourceDtype }: Int8Origin,
): Record<string, string> {
  return { architecture, spec: JSON.stringify(storedSpec(spec)), source, source_dtype: sourceDtype };
}

/** [rows, columns] of the linears and of what else there is, by the name in the file without its ending. */
function shapesOf(spec: ModelSpec): Map<string, readonly [rows: number, columns: number]> {
  const { vocabSize, hiddenSize: hidden, ffnSize: ffn, nHeads, nKvHeads, headDim } = spec;
  const shapes = new Map<string, readonly [number, number]>([
    ['embed.tokens', [vocabSize, hidden]],
    ['lm_head', [vocabSize, hidden]],
  ]);
  for (let n = 0; n < spec.nLayers; ++n) {
    shapes.set(`layers.${n}.qkv`, [(nHeads + 2 * nKvHeads) * headDim, hidden]);
    shapes.set(`layers.${n}.o`, [hidden, nHeads * headDim]);
    shapes.set(`layers.${n}.gate_up`, [(spec.gated ? 2 : 1) * ffn, hidden]);
    shapes.set(`layers.${n}.down`, [hidden, ffn]);
  }
  return shapes;
}

/** Weights of one stored tensor without the padding of its blocks. */
function valuesIn({ name, shape }: TensorEntry, shapes: ReturnType<typeof shapesOf>): number {
  const linear = name.endsWith('.blocks') ? shapes.get(name.slice(0, -'.blocks'.length)) : undefined;
  return (linear ?? shape).reduce((product, size) => product * size, 1);
}

function text({ metadata }: Container, key: string): string {
  const value = metadata[key];
  if (typeof value === 'string') return value;
  throw new KvasirError(
    'MODEL_FORMAT',
    `The INT8 form of this model lacks "${key}" in its metadata. Write it again with kvasir quantize.`,
  );
}

/** Throws MODEL_FORMAT. Whether the tensors fit the spec is checked where they are loaded, natively. */
export function readInt8Form(container: Container): Int8Form {
  const spec = parseSpec(text(container, 'spec'));
  const shapes = shapesOf(spec);
  const parameters = container.tensors.reduce((sum, tensor) => sum + valuesIn(tensor, shapes), 0);
  return {
    architecture: text(container, 'architecture'),
    source: text(container, 'source'),
    sourceDtype: text(container, 'source_dtype'),
    spec,
    tensors: Object.fromEntries(container.tensors.map(({ name }) => [name, { name }])),
    parameters,
  };
}
