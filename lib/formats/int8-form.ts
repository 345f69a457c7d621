/**
 * The INT8 form of a model, as `kvasir quantize` writes it: what the metadata of its weights says, in both directions.
 * The weights themselves, their scheme and their checksums are native's business (native/model/stored_weights.h).
 */
import { checkSpec } from '../architectures/spec-checks.js';
import { KvasirError } from '../errors.js';
import { type Container, native, type TensorEntry, type TensorMap } from '../native.js';
import { type ModelSpec, parseSpec, specToJson } from '../spec.js';
import { parseJsonObject } from './json-file.js';

/** `format` in the metadata of the weights, and `quant_method` in config.json. */
export const int8Format = 'kvasir-int8';

/** What only the file knows of where it came from. */
export interface Int8Origin {
  /** Display name of the model that was quantized. */
  source: string;
  /** How its file stored most of its weights. */
  sourceDtype: string;
  /** SHA-256 of the file of its classifier, where it has one. */
  classifier?: string;
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

function storedSpec(json: string): ModelSpec {
  const where = 'the spec in the metadata of the INT8 form';
  return checkSpec(parseSpec(parseJsonObject(json, where), where));
}

/** What the metadata says beside the scheme, which native adds. */
export function int8Metadata(
  architecture: string,
  spec: ModelSpec,
  { source, sourceDtype, classifier }: Int8Origin,
): Record<string, string> {
  const said = { architecture, spec: specToJson(spec), source, source_dtype: sourceDtype };
  return classifier === undefined ? said : { ...said, classifier };
}

/** Weights of all stored tensors without the padding of their blocks. */
function parametersOf(spec: ModelSpec, tensors: readonly TensorEntry[]): number {
  const rows = native().tensorsOf(specToJson(spec));
  const linears = new Map(
    rows.map((row) => [`${row.name}.${row.float32 ? 'panels' : 'blocks'}`, row.rows * row.columns]),
  );
  const values = ({ name, shape }: TensorEntry) =>
    linears.get(name) ?? shape.reduce((product, size) => product * size, 1);
  return tensors.reduce((sum, tensor) => sum + values(tensor), 0);
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
  const spec = storedSpec(text(container, 'spec'));
  return {
    architecture: text(container, 'architecture'),
    source: text(container, 'source'),
    sourceDtype: text(container, 'source_dtype'),
    ...(container.metadata.classifier === undefined ? {} : { classifier: text(container, 'classifier') }),
    spec,
    tensors: Object.fromEntries(container.tensors.map(({ name }) => [name, { name }])),
    parameters: parametersOf(spec, container.tensors),
  };
}
