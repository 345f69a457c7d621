/** How checkpoints put together what a gated delta net and a gated attention read: rows of several parts in one tensor. */
import { attentionOf, type DeltaNetSpec, type ModelSpec, stateOf } from '../spec.js';
import type { StoredAs } from './family.js';

/** As `StoredIn`, in one place. */
type Rows = (spec: ModelSpec, layer: number) => StoredAs;
type Sizes = (spec: ModelSpec, layer: number) => readonly number[];

/** Again and again rows of each part: the n-th of them, of parts of these sizes. */
function turns(name: string, sizesOf: Sizes, n: number): Rows {
  return (spec, layer) => {
    const sizes = sizesOf(spec, layer);
    const stride = sizes.reduce((sum, size) => sum + size, 0);
    const firstRow = sizes.slice(0, n).reduce((sum, size) => sum + size, 0);
    return { name, view: { firstRow, group: sizes[n]!, stride } };
  };
}

const deltaOf = (spec: ModelSpec, layer: number) => stateOf(spec, layer) as DeltaNetSpec;

/** For each head its query, then its gate. */
export function gatedQueryRows(name: string, n: 0 | 1): Rows {
  return turns(name, (spec, layer) => Array(2).fill(attentionOf(spec, layer)!.headDim), n);
}

/** For each key head its query, its key, the values and then the gates z of its value heads. */
export function qkvzGroups(name: string, n: 0 | 1 | 2 | 3): Rows {
  const sizes: Sizes = (spec, layer) => {
    const { keyHeads, valueHeads, keyDim, valueDim } = deltaOf(spec, layer);
    const values = (valueHeads / keyHeads) * valueDim;
    return [keyDim, keyDim, values, values];
  };
  return turns(name, sizes, n);
}

/** For each key head b of its value heads, then a. */
export function baGroups(name: string, n: 0 | 1): Rows {
  const sizes: Sizes = (spec, layer) => {
    const { keyHeads, valueHeads } = deltaOf(spec, layer);
    return Array(2).fill(valueHeads / keyHeads);
  };
  return turns(name, sizes, n);
}

/** Queries, then keys, then values. */
export function deltaRows(name: string, n: 0 | 1 | 2): Rows {
  return (spec, layer) => {
    const { keyHeads, keyDim } = deltaOf(spec, layer);
    return { name, view: { firstRow: n * keyHeads * keyDim } };
  };
}
