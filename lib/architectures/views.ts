/** Tensors that lie as one in a checkpoint, norms whose weight is stored less one, and what layers with a state have. */
import { attentionOf, feedForwardOf, type ModelSpec, stateOf } from '../spec.js';
import type { Names, Stored, StoredIn } from './family.js';

/** Queries, then keys, then values: the n-th of them. */
export function qkvRows(name: string, n: 0 | 1 | 2): StoredIn {
  return (spec, layer) => {
    const { heads, kvHeads, headDim } = attentionOf(spec, layer)!;
    return { name, view: { firstRow: [0, heads * headDim, (heads + kvHeads) * headDim][n] } };
  };
}

/** For each head of keys its queries, its key, its value: the n-th of them. */
export function qkvGroups(name: string, n: 0 | 1 | 2): StoredIn {
  return (spec, layer) => {
    const { heads, kvHeads, headDim } = attentionOf(spec, layer)!;
    const queries = (heads / kvHeads) * headDim;
    const stride = queries + 2 * headDim;
    const view = [
      { firstRow: 0, group: queries, stride },
      { firstRow: queries, group: headDim, stride },
      { firstRow: queries + headDim, group: headDim, stride },
    ][n];
    return { name, view };
  };
}

/** Names of queries, keys and values that a checkpoint has in `name` as `view` says, and a GGUF file one after the other. */
export function fusedQkv(view: typeof qkvRows, name: string) {
  const names = (n: 0 | 1 | 2): Names[string] => [view(name, n), qkvRows('attn_qkv', n)];
  return { q: names(0), k: names(1), v: names(2) };
}

/** The gate, then up: the n-th of them. */
export function gateUpRows(name: string, n: 0 | 1): StoredIn {
  return (spec, layer) => ({ name, view: { firstRow: n * feedForwardOf(spec, layer).size } });
}

/** The same of the expert that every token uses. */
export function sharedGateUpRows(name: string, n: 0 | 1): StoredIn {
  return (spec, layer) => ({
    name,
    view: { firstRow: n * (feedForwardOf(spec, layer).experts?.sharedSize ?? 0) },
  });
}

export function lessOne(name: string): Stored {
  return { name, view: { addOne: true } };
}

/** The name of a tensor in layers with attention, and in those with a state. */
export function byMixer(attention: string, state: string): (spec: ModelSpec, layer: number) => string {
  return (spec, layer) => (stateOf(spec, layer) === undefined ? attention : state);
}

/** Stored as [channels, 1, taps], in GGUF files as [channels, taps]. */
export function convolutionTaps(name: string): Stored {
  return { name, view: { transposed: true } };
}
