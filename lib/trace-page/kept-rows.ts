/** Which rows of which tensors a page holds, so that it stays within its bytes. */
import { joined, type TracedTensor } from '../trace/tensor.js';
import { charactersOf, type RowsKept, type ValueKind } from './values.js';

export interface KeptRows {
  kind: ValueKind;
  /** Positions of which every tensor is held. */
  chosen: readonly number[];
  rowsOf: (tensor: TracedTensor) => RowsKept;
}

/** Characters of a page whose tensors are held of all positions, in float32. */
const smallPage = 6e6;
/** Of tensors in any page: 20 MB with all else. */
const largestPage = 18.6e6;
const mostChosen = 8;

/** Last parts of names of tensors that are held of all positions: what a text's tokens are told by. */
const stream = ['embed', 'ffn_residual'];
/** The arithmetic of scores and of what is attended reads them of all positions. */
const seen = ['k_rotated', 'v'];

const lastPart = (name: string): string => name.slice(name.lastIndexOf('.') + 1);

/** Of `count` positions, evenly, with the first and the last one. */
export function spread(tokens: number, count: number): number[] {
  if (tokens <= count) return Array.from({ length: tokens }, (_, i) => i);
  if (count === 1) return [tokens - 1];
  return Array.from({ length: count }, (_, i) => Math.round((i * (tokens - 1)) / (count - 1)));
}

/** Values that a page holds of a tensor with all its tokens. */
function valuesHeld({ shape, values }: TracedTensor, rows: RowsKept, tokens: number, chosen: number): number {
  if (rows === 'chosen') return (values.length / tokens) * chosen;
  if (rows === 'lower') return (shape[0]! * tokens * (tokens + 1)) / 2;
  return values.length;
}

/**
 * @param wanted positions that the reader chose
 * @param isLower whether a tensor's rows end with their own position
 */
export function keepRows(
  tensors: readonly TracedTensor[],
  tokens: number,
  wanted: readonly number[] | undefined,
  isLower: (tensor: TracedTensor) => boolean,
): KeptRows {
  const size = ({ kind, chosen, rowsOf }: KeptRows): number =>
    tensors.reduce(
      (sum, one) => sum + charactersOf(valuesHeld(one, rowsOf(one), tokens, chosen.length), kind),
      0,
    );
  const all = spread(tokens, tokens);
  const weights = (tensor: TracedTensor): RowsKept => (isLower(tensor) ? 'lower' : 'all');
  const whole: KeptRows = {
    kind: 'f32',
    chosen: wanted ?? all,
    rowsOf: (tensor) => (lastPart(tensor.name) === 'weights' ? weights(tensor) : 'all'),
  };
  if (wanted === undefined && size(whole) <= smallPage) return whole;
  const held = (names: readonly string[], chosen: readonly number[]): KeptRows => ({
    kind: 'f24',
    chosen,
    rowsOf: (tensor) => {
      const name = lastPart(tensor.name);
      if (name === 'weights') return weights(tensor);
      return names.includes(name) ? 'all' : 'chosen';
    },
  });
  const counts = wanted ? [wanted.length] : [mostChosen, 6, 4, 2, 1];
  const tries = [[...stream, ...seen], stream, []].flatMap((names) =>
    counts.map((count) => held(names, wanted ?? spread(tokens, count))),
  );
  const fits = tries.find((one) => size(one) <= largestPage);
  if (fits !== undefined) return fits;
  // Even so little is too much: the weights of all positions go as well.
  const least = tries.at(-1)!;
  return { ...least, rowsOf: () => 'chosen' };
}

/** The values of the rows that are held, in the order that the page's tensors have. */
export function heldValues(
  { shape, values }: TracedTensor,
  rows: RowsKept,
  tokens: number,
  chosen: readonly number[],
): Float32Array {
  if (rows === 'all' || rows === 'one') return values;
  const heads = shape.length === 3 ? shape[0]! : 1;
  const columns = shape.at(-1)!;
  const picked = rows === 'lower' ? Array.from({ length: tokens }, (_, i) => i) : chosen;
  const parts: Float32Array[] = [];
  for (let head = 0; head < heads; head++) {
    for (const position of picked) {
      const from = (head * tokens + position) * columns;
      parts.push(values.subarray(from, from + (rows === 'lower' ? position + 1 : columns)));
    }
  }
  return joined(parts);
}
