/** What merging makes of the rows of a stored tensor: w + scale * B A, rounded once, in a dtype that safetensors has. */
import { KvasirError } from '../errors.js';
import type { AdapterTensor, TensorSource } from '../native.js';
import { storedRow } from './bind.js';

/** A change of some rows of a stored tensor, or of some of its columns where it is stored as [inputs, outputs]. */
export interface Change {
  tensor: AdapterTensor;
  source: TensorSource;
}

/**
 * Adds a change to rows [first, first + count) of a stored tensor.
 * @param rows float32 [count, columns] as they are stored
 */
export function addChange(
  rows: Float64Array,
  first: number,
  columns: number,
  { tensor, source }: Change,
): void {
  const { rank, a, b, scale } = tensor;
  const outputs = b.length / rank;
  const inputs = a.length / rank;
  const end = first + rows.length / columns;
  for (let output = 0; output < outputs; output++) {
    const place = storedRow(output, source);
    if (!source.transposed && (place < first || place >= end)) continue;
    for (let r = 0; r < rank; r++) {
      const factor = scale * b[output * rank + r]!;
      if (factor === 0) continue;
      if (source.transposed) {
        for (let i = first; i < end; i++) rows[(i - first) * columns + place]! += factor * a[r * inputs + i]!;
      } else {
        const from = (place - first) * columns;
        for (let i = 0; i < inputs; i++) rows[from + i]! += factor * a[r * inputs + i]!;
      }
    }
  }
}

/** A float of 16 bits: one of the sign, `mantissa` behind the point, and exponents from `least` on. */
interface Half {
  mantissa: number;
  least: number;
}
const halves: Readonly<Record<string, Half>> = {
  F16: { mantissa: 10, least: -14 },
  BF16: { mantissa: 7, least: -126 },
};

/** Bits of the nearest one, ties to even; of a finite number that has one. */
function halfBits(value: number, { mantissa, least }: Half): number {
  const magnitude = Math.abs(value);
  const exponent = Math.max(least, Math.floor(Math.log2(magnitude)));
  const steps = magnitude / 2 ** (exponent - mantissa);
  const low = Math.floor(steps);
  const rest = steps - low;
  const rounded = low + (rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? 1 : 0);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  return sign | (rounded + ((exponent - least) << mantissa));
}

const largest: Readonly<Record<string, number>> = {
  F32: 3.4028234663852886e38,
  BF16: 3.3895313892515355e38,
  F16: 65504,
};

export const bytesOfValue: Readonly<Record<string, number>> = { F32: 4, BF16: 2, F16: 2 };

/** Bytes of values in a dtype. Throws INVALID_OPTION for a value that it does not have. @param name of the tensor */
export function encodeValues(values: Float64Array, dtype: string, name: string): Uint8Array {
  const most = largest[dtype]!;
  const wrong = values.findIndex((value) => !(Math.abs(value) <= most));
  if (wrong >= 0) {
    throw new KvasirError(
      'INVALID_OPTION',
      `Merged, ${name} has the value ${values[wrong]}, which ${dtype} cannot hold. Merge with dtype 'fp32'.`,
      { details: { option: 'dtype' } },
    );
  }
  if (dtype === 'F32') return new Uint8Array(Float32Array.from(values).buffer);
  const half = halves[dtype]!;
  return new Uint8Array(Uint16Array.from(values, (value) => halfBits(value, half)).buffer);
}
