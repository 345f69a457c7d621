// Medians and spreads of interleaved samples. Pure.

/** Of at least one number; of an even count the mean of the middle two. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @param {(number | null)[]} samples one per round; null where the round failed
 * @returns {{ median: number, least: number, most: number, samples: (number | null)[] } | undefined} undefined: none
 */
export function summarize(samples) {
  const values = samples.filter((value) => value !== null);
  if (values.length === 0) return undefined;
  return { median: median(values), least: Math.min(...values), most: Math.max(...values), samples };
}

/** Least and most of a / b over the rounds that have both: what the ratio of the medians could have been. */
export function ratioSpread(a, b) {
  const ratios = a.flatMap((value, i) => (value === null || (b[i] ?? null) === null ? [] : [value / b[i]]));
  return ratios.length > 0 ? { low: Math.min(...ratios), high: Math.max(...ratios) } : undefined;
}

/**
 * What an answer of a driver is in the unit of a work: tokens per second over all sequences, or milliseconds.
 * @param {Pick<import('./works.mjs').Work, 'quantity' | 'prompt' | 'tokens' | 'batch'>} work
 * @param {{ firstTokenSeconds: number, decodeSeconds: number }} answer
 */
export function quantityOf({ quantity, prompt, tokens, batch }, { firstTokenSeconds, decodeSeconds }) {
  if (quantity === 'first') return 1000 * firstTokenSeconds;
  if (quantity === 'prefill') return (batch * prompt) / firstTokenSeconds;
  return (batch * (tokens - 1)) / decodeSeconds;
}
