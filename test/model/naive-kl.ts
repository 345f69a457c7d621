/** KL(P || Q) of two rows of logits by the definition: what the library's own is held against. */
export function naiveKl(reference: Float32Array, other: Float32Array): number {
  const logSoftmax = (row: Float32Array) => {
    const sum = row.reduce((total, x) => total + Math.exp(x), 0);
    return Array.from(row, (x) => x - Math.log(sum));
  };
  const [p, q] = [logSoftmax(reference), logSoftmax(other)];
  return p.reduce((sum, logP, i) => sum + Math.exp(logP) * (logP - q[i]!), 0);
}
