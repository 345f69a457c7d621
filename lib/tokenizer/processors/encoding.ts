import { limitExceeded, mostTokens } from '../work.js';

/** The tokens of a text. Offsets are UTF-16 units of the text that a token came from; tokens that were added have 0 and 0. */
export interface Encoding {
  ids: Int32Array;
  /** Start and end by turns, int32 [2 * ids.length]; absent unless asked for. */
  offsets?: Int32Array;
  /** Which segment of a pair each belongs to, as the post-processor numbers them; int32 [ids.length]. */
  typeIds: Int32Array;
  /** What the offsets are of. */
  text?: string;
  /** Texts of tokens that are not spelled as their ids are, by place. */
  values?: ReadonlyMap<number, string>;
}

/** Takes the encodings of the texts, and gives the parts that are put one after the other. */
export type Processor = (encodings: Encoding[], addSpecialTokens: boolean) => Encoding[];

export function joinEncodings(parts: readonly Encoding[], tracked: boolean): Encoding {
  if (parts.length === 1) return parts[0]!;
  const count = parts.reduce((sum, { ids }) => sum + ids.length, 0);
  if (count > mostTokens) throw limitExceeded(`The text has more than ${mostTokens} tokens`);
  const ids = new Int32Array(count);
  const typeIds = new Int32Array(count);
  const offsets = tracked ? new Int32Array(2 * count) : undefined;
  let at = 0;
  for (const part of parts) {
    ids.set(part.ids, at);
    typeIds.set(part.typeIds, at);
    if (part.offsets) offsets?.set(part.offsets, 2 * at);
    at += part.ids.length;
  }
  return offsets ? { ids, offsets, typeIds } : { ids, typeIds };
}
