/**
 * Inverse frequencies of rotary embeddings, in float32 with a rounding after every operation, in the order in which
 * the reference implementation computes them: a last bit here is a radian fraction at position 8192.
 */
import * as v from 'valibot';
import { KvasirError } from '../errors.js';
import { plainObject, positive } from '../config-schema.js';

const f32 = Math.fround;

/** `rope_scaling` (or, in newer files, `rope_parameters`) of a Hugging Face config. */
export const ropeScalingSchema = v.pipe(
  plainObject,
  v.looseObject({
    rope_type: v.optional(v.string()),
    /** Older spelling of `rope_type`. */
    type: v.optional(v.string()),
    rope_theta: v.optional(positive),
    factor: v.optional(positive),
    low_freq_factor: v.optional(positive),
    high_freq_factor: v.optional(positive),
    original_max_position_embeddings: v.optional(positive),
  }),
);
export type RopeScaling = v.InferOutput<typeof ropeScalingSchema>;

/** [dim / 2] of 1 / theta^(2i / dim). */
export function plainFrequencies(theta: number, dim: number): Float32Array {
  const base = f32(theta);
  return Float32Array.from({ length: dim / 2 }, (_, i) => f32(1 / f32(base ** f32((2 * i) / dim))));
}

/** Position interpolation: every frequency divided by `factor`. */
function linearFrequencies(plain: Float32Array, scaling: RopeScaling): Float32Array {
  const factor = f32(required(scaling, 'factor'));
  return plain.map((frequency) => frequency / factor);
}

/** Llama 3.1: long wavelengths are divided, short ones kept, those between are blended. */
function llama3Frequencies(plain: Float32Array, scaling: RopeScaling): Float32Array {
  const factor = required(scaling, 'factor');
  const low = required(scaling, 'low_freq_factor');
  const high = required(scaling, 'high_freq_factor');
  const context = required(scaling, 'original_max_position_embeddings');
  if (low === high) {
    throw new KvasirError('MODEL_FORMAT', 'rope_scaling: low_freq_factor and high_freq_factor must differ.');
  }
  return plain.map((frequency) => {
    const wavelength = f32(f32(2 * Math.PI) / frequency);
    if (wavelength > f32(context / low)) return f32(frequency / f32(factor));
    if (wavelength < f32(context / high)) return frequency;
    const smooth = f32(f32(f32(f32(context) / wavelength) - f32(low)) / f32(high - low));
    const divided = f32(f32(f32(1 - smooth) * frequency) / f32(factor));
    return f32(divided + f32(smooth * frequency));
  });
}

/** Throws UNSUPPORTED_ARCHITECTURE for a kind of scaling that is not there. */
export function ropeFrequencies(theta: number, dim: number, scaling?: RopeScaling | null): Float32Array {
  const plain = plainFrequencies(theta, dim);
  const kind = scaling?.rope_type ?? scaling?.type ?? 'default';
  if (!scaling || kind === 'default') return plain;
  if (kind === 'linear') return linearFrequencies(plain, scaling);
  if (kind === 'llama3') return llama3Frequencies(plain, scaling);
  throw new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `Rotary scaling of the kind "${kind}" is not supported; supported are default, linear and llama3.`,
  );
}

/** Divided one by one by what a checkpoint's tensor holds, if it has one. */
export function scaledByTensor(
  frequencies: Float32Array,
  name: string,
  factors?: Float32Array,
): Float32Array {
  if (factors === undefined) return frequencies;
  if (factors.length !== frequencies.length || !factors.every((factor) => factor > 0)) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `${name} must hold ${frequencies.length} positive factors, one for each rotary frequency; it has ${factors.length} values.`,
    );
  }
  return frequencies.map((frequency, i) => frequency / factors[i]!);
}

function required(scaling: RopeScaling, name: keyof RopeScaling & string): number {
  const value = scaling[name];
  if (typeof value !== 'number') {
    throw new KvasirError('MODEL_FORMAT', `rope_scaling lacks the number "${name}".`);
  }
  return value;
}
