// What the machine can do, and which share of it an engine used. Pure. On a shared host memory may be twice as fast in
// one minute as in the next, so a share is taken of what was measured right before and after, never of another moment.

/** @typedef {{ readBytesPerSecond: number, int8OpsPerSecond: number, fp32FlopsPerSecond: number }} Limits */

const names = /** @type {const} */ (['readBytesPerSecond', 'int8OpsPerSecond', 'fp32FlopsPerSecond']);

/** @param {Limits[]} measured at least one @returns {Limits} the best of each */
export function bestOf(measured) {
  const best = (name) => Math.max(...measured.map((limits) => limits[name]));
  const [readBytesPerSecond, int8OpsPerSecond, fp32FlopsPerSecond] = names.map(best);
  return { readBytesPerSecond, int8OpsPerSecond, fp32FlopsPerSecond };
}

/** @param {Limits[]} measured at least one @returns {Limits} the worst of each */
export function worstOf(measured) {
  const worst = (name) => Math.min(...measured.map((limits) => limits[name]));
  const [readBytesPerSecond, int8OpsPerSecond, fp32FlopsPerSecond] = names.map(worst);
  return { readBytesPerSecond, int8OpsPerSecond, fp32FlopsPerSecond };
}

/**
 * The share of the machine that something else had at the worst moment, 0 to 1: loops that touch no memory are as fast
 * at all times unless they have to share their cores.
 * @param {Map<string, Limits[]>} measured by table of kernels
 */
export function disturbance(measured) {
  const lost = [...measured.values()].map(
    (all) => 1 - worstOf(all).int8OpsPerSecond / bestOf(all).int8OpsPerSecond,
  );
  return Math.max(0, ...lost);
}

/**
 * Of the read bandwidth for decode, of the peak of the arithmetic for prefill.
 * @param {Pick<import('./works.mjs').Work, 'quantity' | 'batch'>} work
 * @param {number} rate tokens per second over all sequences
 * @param {Limits} limits
 * @param {{ weightBytes: number, layerWeights: number, isFp32: boolean }} engine weightBytes: what a step reads, the
 *   output layer included; layerWeights: values of the linears that every prefilled token meets
 */
export function shareOf({ quantity, batch }, rate, limits, { weightBytes, layerWeights, isFp32 }) {
  // One step reads the weights once for all sequences.
  if (quantity === 'decode') return ((rate / batch) * weightBytes) / limits.readBytesPerSecond;
  return (rate * 2 * layerWeights) / (isFp32 ? limits.fp32FlopsPerSecond : limits.int8OpsPerSecond);
}
