/** What interventions put in the place of what heads of one layer attended. */
import { attentionOf, type ModelSpec } from '../spec.js';
import type { Intervention } from './trace-options.js';

export interface HeadPatch {
  heads: Int32Array;
  /** [tokens, heads, headDim] */
  attended: Float32Array;
}

/**
 * @param changes of heads of one layer, at least one; of a token that two are about the later one holds
 * @param own what all heads attended, [tokens, heads * headDim]; given where a change is of one token alone
 */
export function headPatch(
  spec: ModelSpec,
  changes: readonly Intervention[],
  tokens: number,
  own: Float32Array | undefined,
): HeadPatch {
  const { heads: all, headDim } = attentionOf(spec, changes[0]!.layer)!;
  const heads = [...new Set(changes.map(({ head }) => head!))];
  const attended = new Float32Array(tokens * heads.length * headDim);
  const rowAt = (token: number, i: number): number => (token * heads.length + i) * headDim;
  if (own !== undefined) {
    for (let token = 0; token < tokens; ++token) {
      for (const [i, head] of heads.entries()) {
        const from = (token * all + head) * headDim;
        attended.set(own.subarray(from, from + headDim), rowAt(token, i));
      }
    }
  }
  for (const { head, token, attended: given } of changes) {
    const i = heads.indexOf(head!);
    for (const at of token === undefined ? Array.from({ length: tokens }, (_, t) => t) : [token]) {
      const first = token === undefined ? at * headDim : 0;
      const values = given?.subarray(first, first + headDim) ?? new Float32Array(headDim);
      attended.set(values, rowAt(at, i));
    }
  }
  return { heads: Int32Array.from(heads), attended };
}
