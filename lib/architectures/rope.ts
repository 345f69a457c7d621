/**
 * Tables of rotary embeddings: inverse frequencies in float32 with a rounding after every operation, in the order in which
 * the reference implementation computes them (a last bit here is a radian fraction at position 8192), and the factor of
 * cosine and sine. What depends on the length of a sequence in the reference is settled when a model is loaded: see `RopeTable`.
 */
import * as v from 'valibot';
import { KvasirError } from '../errors.js';
import { plainObject, positive } from '../config-schema.js';

const f32 = Math.fround;

/** `rope_scaling` (or, in newer files, `rope_parameters`) of a Hugging Face config. */
export const ropeScalingSchema = v.pipe(
  plainObject,
  v.looseObject({
    rope_type: v.nullish(v.string()),
    /** Older spelling of `rope_type`. */
    type: v.nullish(v.string()),
    rope_theta: v.nullish(positive),
    partial_rotary_factor: v.nullish(positive),
    factor: v.nullish(positive),
    low_freq_factor: v.nullish(positive),
    high_freq_factor: v.nullish(positive),
    original_max_position_embeddings: v.nullish(positive),
    attention_factor: v.nullish(positive),
    beta_fast: v.nullish(v.number()),
    beta_slow: v.nullish(v.number()),
    mscale: v.nullish(v.number()),
    mscale_all_dim: v.nullish(v.number()),
    truncate: v.nullish(v.boolean()),
    short_factor: v.nullish(v.array(positive)),
    long_factor: v.nullish(v.array(positive)),
    /** Hunyuan's fixed form of dynamic scaling. */
    alpha: v.nullish(positive),
    /** Of Llama 4 and Ministral 3: a scale of queries that grows with the position. */
    llama_4_scaling_beta: v.nullish(v.number()),
  }),
);
export type RopeScaling = v.InferOutput<typeof ropeScalingSchema>;

export interface RopeTable {
  /** [rotated dimensions / 2] */
  inverseFrequencies: Float32Array;
  /** Of cosine and sine. Default 1. */
  scale?: number;
  /**
   * LongRoPE: the frequencies of a model that is loaded for more than `beyond` positions. The reference changes over when a
   * sequence grows that long, and its cache then holds keys of both; a model here has one kind of keys from the first on.
   */
  long?: { beyond: number; inverseFrequencies: Float32Array };
}

/** What a table is computed from. */
export interface RopeBasis {
  theta: number;
  /** Rotated dimensions of a head. */
  dim: number;
  /** Longest position of the model, where a scaling asks for it. */
  maxPositions?: number;
  scaling?: RopeScaling | null;
}

/** [dim / 2, rounded up] of theta^(2i / dim). */
function wavelengths({ theta, dim }: RopeBasis): Float32Array {
  const base = f32(theta);
  return Float32Array.from({ length: Math.ceil(dim / 2) }, (_, i) => f32(base ** f32((2 * i) / dim)));
}

function plainFrequencies(basis: RopeBasis): Float32Array {
  return wavelengths(basis).map((wavelength) => 1 / wavelength);
}

/** Position interpolation: every frequency divided by `factor`. */
function linearTable(basis: RopeBasis, scaling: RopeScaling): RopeTable {
  const factor = f32(required(scaling, 'factor'));
  return { inverseFrequencies: plainFrequencies(basis).map((frequency) => frequency / factor) };
}

/** Llama 3.1: long wavelengths are divided, short ones kept, those between are blended. */
function llama3Table(basis: RopeBasis, scaling: RopeScaling): RopeTable {
  const factor = required(scaling, 'factor');
  const low = required(scaling, 'low_freq_factor');
  const high = required(scaling, 'high_freq_factor');
  const context = originalPositions(basis, scaling);
  if (low === high) {
    throw new KvasirError('MODEL_FORMAT', 'rope_scaling: low_freq_factor and high_freq_factor must differ.');
  }
  const inverseFrequencies = plainFrequencies(basis).map((frequency) => {
    const wavelength = f32(f32(2 * Math.PI) / frequency);
    if (wavelength > f32(context / low)) return f32(frequency / f32(factor));
    if (wavelength < f32(context / high)) return frequency;
    const smooth = f32(f32(f32(f32(context) / wavelength) - f32(low)) / f32(high - low));
    const divided = f32(f32(f32(1 - smooth) * frequency) / f32(factor));
    return f32(divided + f32(smooth * frequency));
  });
  return { inverseFrequencies };
}

function originalPositions({ maxPositions }: RopeBasis, scaling: RopeScaling): number {
  return (
    scaling.original_max_position_embeddings ??
    maxPositions ??
    required(scaling, 'original_max_position_embeddings')
  );
}

/** How many times the context of the training a scaling reaches. */
function stretch(basis: RopeBasis, scaling: RopeScaling, original: number): number {
  return scaling.factor ?? (basis.maxPositions ?? original) / original;
}

function magnitude(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

/** The factor of cosine and sine that YaRN has where a file names none. */
export function yarnScale(factor: number, mscale?: number | null, mscaleAllDim?: number | null): number {
  return mscale && mscaleAllDim
    ? magnitude(factor, mscale) / magnitude(factor, mscaleAllDim)
    : magnitude(factor);
}

/** YaRN (arXiv:2309.00071): frequencies that turn often are kept, those that turn seldom divided, those between are blended. */
function yarnTable(basis: RopeBasis, scaling: RopeScaling): RopeTable {
  const { theta, dim } = basis;
  const original = originalPositions(basis, scaling);
  const factor = stretch(basis, scaling, original);
  const turningAt = (turns: number) =>
    (dim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const truncate = scaling.truncate ?? true;
  const fast = turningAt(scaling.beta_fast || 32);
  const slow = turningAt(scaling.beta_slow || 1);
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, dim - 1);
  const width = f32(low === high ? 0.001 : high - low);
  const inverseFrequencies = wavelengths(basis).map((wavelength, i) => {
    const ramp = Math.min(Math.max(f32(f32(i - f32(low)) / width), 0), 1);
    const kept = f32(1 - ramp);
    const divided = f32(1 / f32(f32(factor) * wavelength));
    return f32(f32(divided * f32(1 - kept)) + f32(f32(1 / wavelength) * kept));
  });
  const scale = scaling.attention_factor ?? yarnScale(factor, scaling.mscale, scaling.mscale_all_dim);
  return { inverseFrequencies, scale };
}

/** LongRoPE (arXiv:2402.13753): a divisor for each frequency, of short contexts and of long ones. */
function longTable(basis: RopeBasis, scaling: RopeScaling): RopeTable {
  const original = originalPositions(basis, scaling);
  const plain = wavelengths(basis);
  const divided = (name: 'short_factor' | 'long_factor'): Float32Array => {
    const factors = scaling[name];
    if (factors?.length !== plain.length) {
      throw new KvasirError(
        'MODEL_FORMAT',
        `rope_scaling: ${name} must hold ${plain.length} factors, one for each rotary frequency.`,
      );
    }
    return plain.map((wavelength, i) => 1 / f32(f32(factors[i]!) * wavelength));
  };
  const factor = stretch(basis, scaling, original);
  const byLength = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  return {
    inverseFrequencies: divided('short_factor'),
    scale: scaling.attention_factor ?? byLength,
    long: { beyond: original, inverseFrequencies: divided('long_factor') },
  };
}

/**
 * Up to the positions that a model was made for, dynamic scaling is none; a model is loaded for no more of them. With
 * Hunyuan's `alpha` the base is a larger one at any length.
 */
function dynamicTable(basis: RopeBasis, { alpha }: RopeScaling): RopeTable {
  const { theta, dim } = basis;
  const larger = alpha ? theta * alpha ** (dim / (dim - 2)) : theta;
  return { inverseFrequencies: plainFrequencies({ theta: larger, dim }) };
}

const tables: ReadonlyMap<string, (basis: RopeBasis, scaling: RopeScaling) => RopeTable> = new Map([
  ['default', (basis: RopeBasis) => ({ inverseFrequencies: plainFrequencies(basis) })],
  ['linear', linearTable],
  ['dynamic', dynamicTable],
  ['llama3', llama3Table],
  ['yarn', yarnTable],
  ['longrope', longTable],
]);

/** Throws UNSUPPORTED_ARCHITECTURE for a kind of scaling that is not there. */
export function ropeTable(basis: RopeBasis): RopeTable {
  const scaling = basis.scaling ?? {};
  const kind = scaling.rope_type ?? scaling.type ?? 'default';
  const table = tables.get(kind);
  if (table !== undefined) return table(basis, scaling);
  throw new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `Rotary scaling of the kind "${kind}" is not supported; supported are ${[...tables.keys()].join(', ')}.`,
  );
}

/** Divided one by one by what a checkpoint's tensor holds. */
export function dividedByTensor(table: RopeTable, name: string, factors: Float32Array): RopeTable {
  const { inverseFrequencies: plain } = table;
  if (factors.length !== plain.length || !factors.every((factor) => factor > 0)) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `${name} must hold ${plain.length} positive factors, one for each rotary frequency; it has ${factors.length} values.`,
    );
  }
  return { ...table, inverseFrequencies: plain.map((frequency, i) => frequency / factors[i]!) };
}

function required(scaling: RopeScaling, name: keyof RopeScaling & string): number {
  const value = scaling[name];
  if (typeof value !== 'number') {
    throw new KvasirError('MODEL_FORMAT', `rope_scaling lacks the number "${name}".`);
  }
  return value;
}
