/** What the fake native model computes: a fixed function of the tokens so far. */

export function logSumExp(row: Float32Array, temperature: number): number {
  let sum = 0;
  const max = row.reduce((a, b) => Math.max(a, b)) / temperature;
  for (const logit of row) sum += Math.exp(logit / temperature - max);
  return max + Math.log(sum);
}

/** What a fake adapter does: as if its number stood before all tokens. */
export function adapterTokens(adapter: number): number[] {
  return adapter < 0 ? [] : [adapter + 1];
}

/** The hidden state that gives such logits. */
export function fakeHidden(logits: Float32Array): Float32Array {
  return logits.subarray(0, 4).map((logit) => -logit);
}

/** Logits that depend on every token so far, and on their order. */
export function fakeLogits(tokens: readonly number[], vocabSize: number, banned = -1): Float32Array {
  let hash = 2166136261;
  for (const token of tokens) hash = Math.imul(hash ^ (token + 1), 16777619);
  const logits = new Float32Array(vocabSize);
  for (let id = 0; id < vocabSize; id++) {
    const mixed = Math.imul(hash ^ Math.imul(id + 1, 0x9e3779b1), 0x85ebca6b);
    logits[id] = ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 29;
  }
  if (banned >= 0) logits[banned] = -100;
  return logits;
}

/** What greedy decoding gives after `prompt`. */
export function fakeGreedy(prompt: readonly number[], count: number, vocabSize = 300, banned = -1): number[] {
  const tokens = [...prompt];
  for (let n = 0; n < count; n++) {
    const logits = fakeLogits(tokens, vocabSize, banned);
    let best = 0;
    for (let id = 1; id < vocabSize; id++) if (logits[id] > logits[best]) best = id;
    tokens.push(best);
  }
  return tokens.slice(prompt.length);
}
