/** Reads golden files and compares with them. A comparison that meets NaN fails. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

export const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));

export function readGolden<T>(name: string): T {
  return JSON.parse(readFileSync(`${fixtures}${name}`, 'utf8')) as T;
}

export interface GoldenTensor {
  shape: number[];
  dtype: string;
  /** base64, little endian */
  data: string;
}

export interface GoldenError {
  max: number;
  rms: number;
}

export function valuesOf({ shape, dtype, data }: GoldenTensor): Float32Array | Float64Array {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64')).buffer;
  const values = /float64$/.test(dtype) ? new Float64Array(bytes) : new Float32Array(bytes);
  const size = shape.reduce((product, n) => product * n, 1);
  if (values.length !== size) throw new Error(`a golden tensor has ${values.length} values, not ${size}`);
  return values;
}

type Numbers = Float32Array | Float64Array | readonly number[];

/** Largest and root mean square difference; what is not a number counts as infinitely far. */
export function differenceOf(actual: Numbers, expected: Numbers): GoldenError {
  if (actual.length !== expected.length || actual.length === 0) {
    throw new Error(`${actual.length} values, expected ${expected.length} (and at least one)`);
  }
  let max = 0;
  let squares = 0;
  for (let i = 0; i < actual.length; ++i) {
    const d = Math.abs(actual[i]! - expected[i]!);
    if (!(d <= max)) max = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
    squares += d * d;
  }
  return { max, rms: Math.sqrt(squares / actual.length) };
}

export function expectWithin(actual: Numbers, expected: Numbers, limit: number, what: string): void {
  expect(differenceOf(actual, expected).max, what).toBeLessThanOrEqual(limit);
}

/** Both errors at most `factor` times those of the reference's own float32 run. */
export function expectErrorWithin(
  actual: Numbers,
  expected: Numbers,
  reference: GoldenError,
  factor: number,
  what: string,
) {
  const { max, rms } = differenceOf(actual, expected);
  expect(max, `${what}, largest error`).toBeLessThanOrEqual(factor * reference.max);
  expect(rms, `${what}, RMS error`).toBeLessThanOrEqual(factor * reference.rms);
}

/** `==` on every bit; the first difference is named. */
export function expectSameBits(actual: Float32Array, expected: Float32Array, what: string): void {
  if (actual.length !== expected.length || actual.length === 0) {
    throw new Error(`${what}: ${actual.length} values, expected ${expected.length} (and at least one)`);
  }
  const bytes = (a: Float32Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);
  if (bytes(actual).equals(bytes(expected))) return;
  const at = actual.findIndex((value, i) => !Object.is(value, expected[i]));
  expect.fail(`${what}: value ${at} of ${actual.length} is ${actual[at]}, expected ${expected[at]}`);
}
