// What the machine can do, from one measurement per round of each table of kernels. Pure.

/** @typedef {{ readBytesPerSecond: number, int8OpsPerSecond: number, fp32FlopsPerSecond: number }} Limits */

/**
 * The best of all rounds. The bandwidth is the machine's, whoever measured it, and what the wider instructions run,
 * they run at least as fast as the narrow ones.
 * @param {Map<string, Limits[]>} measured by table of kernels
 * @param {string | undefined} kernels
 * @returns {Limits | undefined} undefined: not measured
 */
export function bestLimits(measured, kernels) {
  const own = kernels === undefined ? undefined : measured.get(kernels);
  if (kernels === undefined || own === undefined) return undefined;
  const all = [...measured.values()].flat();
  const same = kernels.startsWith('avx512') ? all : own;
  return {
    readBytesPerSecond: Math.max(...all.map((limits) => limits.readBytesPerSecond)),
    int8OpsPerSecond: Math.max(...same.map((limits) => limits.int8OpsPerSecond)),
    fp32FlopsPerSecond: Math.max(...same.map((limits) => limits.fp32FlopsPerSecond)),
  };
}

/**
 * The share of the machine that something else had in the worst round, 0 to 1: loops that touch no memory are as fast
 * in every round unless they have to share their cores.
 * @param {Map<string, Limits[]>} measured
 */
export function disturbance(measured) {
  const lost = [...measured.values()].map((rounds) => {
    const rates = rounds.map((limits) => limits.int8OpsPerSecond);
    return 1 - Math.min(...rates) / Math.max(...rates);
  });
  return Math.max(0, ...lost);
}
