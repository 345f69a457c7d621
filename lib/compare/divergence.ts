/**
 * How far one distribution of the next token is from another, in float64, from two rows of logits. Knows no model and
 * no text.
 */

export interface RowComparison {
  /** KL(reference || other) in nats: how much is lost by believing `other`. */
  kl: number;
  /** The most probable token is the same (of equals: the one with the lower id). */
  sameTop: boolean;
  /** Negative log-probability of the token that really came, in nats, under each. */
  referenceNll: number;
  otherNll: number;
}

/**
 * @param reference [vocab] logits, of the distribution P.
 * @param other [vocab] logits, of the distribution Q.
 * @param target id of the token that really came.
 */
export function compareRows(reference: Float32Array, other: Float32Array, target: number): RowComparison {
  const pTop = indexOfLargest(reference);
  const qTop = indexOfLargest(other);
  const pMax = reference[pTop]!;
  const qMax = other[qTop]!;
  let pSum = 0;
  let qSum = 0;
  let weighted = 0;
  for (let i = 0; i < reference.length; i++) {
    const p = reference[i]!;
    const q = other[i]!;
    const share = Math.exp(p - pMax);
    pSum += share;
    qSum += Math.exp(q - qMax);
    // A token that P rules out costs nothing, even where its logit is -Infinity in both.
    if (share > 0) weighted += share * (p - q);
  }
  const pLog = pMax + Math.log(pSum);
  const qLog = qMax + Math.log(qSum);
  return {
    // sum of P (log P - log Q), where log P = p - pLog: equal rows give 0 and no rounding error.
    kl: weighted / pSum + (qLog - pLog),
    sameTop: pTop === qTop,
    referenceNll: pLog - reference[target]!,
    otherNll: qLog - other[target]!,
  };
}

export function indexOfLargest(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return best;
}
