/** Numbers as the page shows them. */

export function significant(value: number, digits = 3): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 10 ** digits) return Math.round(value).toLocaleString('en-US');
  return size < 1e-4 ? value.toExponential(digits - 1) : value.toPrecision(digits);
}

export function percent(part: number, digits = 2): string {
  return `${(100 * part).toFixed(digits)} %`;
}

/** Megabytes of 10^6. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
}

export function times(ratio: number): string {
  return `${ratio.toFixed(2)}×`;
}
