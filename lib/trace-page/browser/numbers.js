/** Numbers as the page shows them: every value by one rule, so that what is shown is what the trace has. */

/** Significant digits of every value. */
let digits = 4;

/** @param {number} count */
export function setDigits(count) {
  digits = count;
}

/** Half of the last digit of a value, as a share of it: at most. A float32 beside it counts for no less than 5e-5. */
export function resolution() {
  return Math.max(5e-5, 10 ** (1 - digits) / 2);
}

/** @param {number} value @param {number} [count] of digits */
export function show(value, count = digits) {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  if (value === 0) return '0';
  const size = Math.abs(value);
  const text =
    size < 1e-4 || size >= 1e6 ? value.toExponential(count - 1) : Number(value.toPrecision(count)).toString();
  return text.replaceAll('-', '−');
}

/** 1234567 as '1.23 M'. @param {number} value */
export function short(value) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([
    ['T', 1e12],
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ])) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  return String(Number(value.toPrecision(3)));
}

/** @param {number} value */
export function bytes(value) {
  return `${short(value)}${value >= 1e3 ? '' : ' '}B`;
}

/** @param {number} share */
export function percent(share) {
  return `${Number((100 * share).toPrecision(share < 0.1 ? 2 : 3))} %`;
}
