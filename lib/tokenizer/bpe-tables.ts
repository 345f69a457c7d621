/**
 * What a BPE model looks up, built in a tenth of the time that `@huggingface/tokenizers` takes for 49k tokens and merges
 * (it writes every merge as JSON): the merging itself stays the library's.
 */
import type { TokenizerJson } from './definition.js';

/** The fields of the library's BPE model that are replaced. */
export interface BpeModel {
  tokens_to_ids: Map<string, number>;
  vocab: (string | undefined)[];
  unk_token_id?: number;
  add_node(queue: { push(node: BpeNode): void }, node: BpeNode): void;
}

/** A symbol on the way; `bias` orders equal ranks from left to right. */
interface BpeNode {
  token: string;
  next: BpeNode;
  bias: number;
  score?: number;
}

export interface BpeTables {
  ids: Map<string, number>;
  /** Both parts with a space between them, to their rank. */
  ranks: Map<string, number>;
}

/** "left right" for each merge, or undefined where one cannot be written so. */
function spelledMerges(merges: readonly unknown[]): readonly string[] | undefined {
  const spelled: string[] = new Array(merges.length);
  for (let i = 0; i < merges.length; ++i) {
    const merge = merges[i];
    const text = Array.isArray(merge) && merge.length === 2 ? `${merge[0]} ${merge[1]}` : merge;
    if (typeof text !== 'string') return undefined;
    const space = text.indexOf(' ');
    if (space < 0 || text.indexOf(' ', space + 1) >= 0) return undefined;
    spelled[i] = text;
  }
  return spelled;
}

function idMap(vocab: unknown): Map<string, number> {
  if (vocab instanceof Map) return vocab;
  const ids = new Map<string, number>();
  const entries = vocab as Record<string, number>;
  for (const token in entries) ids.set(token, entries[token]!);
  return ids;
}

/** Undefined for other models, and for merges whose parts hold spaces: those are left to the library. */
export function bpeTables({ type, merges, vocab }: TokenizerJson['model']): BpeTables | undefined {
  if (type !== 'BPE' || !Array.isArray(merges)) return undefined;
  const spelled = spelledMerges(merges);
  if (spelled === undefined) return undefined;
  const ranks = new Map<string, number>();
  for (let i = 0; i < spelled.length; ++i) ranks.set(spelled[i]!, i);
  return { ids: idMap(vocab), ranks };
}

/** Gives a model that was made without vocabulary and merges its tables. Added tokens are added as the library does. */
export function adoptTables(
  model: BpeModel,
  { ids, ranks }: BpeTables,
  unknown: unknown,
  added: TokenizerJson['added_tokens'],
): void {
  model.tokens_to_ids = ids;
  model.unk_token_id = typeof unknown === 'string' ? ids.get(unknown) : undefined;
  model.vocab = new Array(ids.size);
  for (const [token, id] of ids) model.vocab[id] = token;
  for (const { content, id } of added) {
    ids.set(content, id);
    model.vocab[id] = content;
  }
  model.add_node = (queue, node) => {
    const rank = ranks.get(`${node.token} ${node.next.token}`);
    if (rank === undefined) return;
    node.score = rank + node.bias;
    queue.push(node);
  };
}
