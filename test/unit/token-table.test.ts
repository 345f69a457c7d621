/** The spellings of all tokens in one array: those of the model, and the added ones in their places. */
import { expect, test } from 'vitest';
import { Random } from '../../lib/generation/random.js';
import { buildTokenTable } from '../../lib/tokenizer/build-token-table.js';
import type { TokenizerJson } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { TokenTable } from '../../lib/tokenizer/token-table.js';

function jsonOf(
  vocab: Record<string, number>,
  added: readonly [id: number, content: string][],
): TokenizerJson {
  const flags = { lstrip: false, rstrip: false, special: true };
  return {
    added_tokens: added.map(([id, content]) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: 'WordLevel', vocab, unk_token: 'w0' },
  };
}

test('has the spelling of every id: of the model, of tokens that are added, in holes and behind the last', () => {
  const random = new Random(5);
  const below = (count: number) => Math.floor(random.uniform() * count);
  const word = (name: string) => name + '\u00e9'.repeat(below(3));
  for (let round = 0; round < 200; ++round) {
    // Ids with holes, in any order.
    const ids = Array.from({ length: 12 }, (_, id) => id).filter((id) => id === 0 || below(4) > 0);
    const spelled = new Map(ids.map((id) => [id, id === 0 ? 'w0' : word(`w${id}`)]));
    const entries = [...spelled].sort(() => below(3) - 1).map(([id, token]): [string, number] => [token, id]);
    // Of two with one id the last counts; what is added is numbered behind both.
    const twice = below(2) === 1;
    const vocab = Object.fromEntries([
      ...(twice
        ? [
            ['twice', 0],
            ['again', 0],
          ]
        : []),
      ...entries,
    ]);
    const size = entries.length + (twice ? 2 : 0);
    // Those that the model has keep their ids; others are numbered from the number of its tokens on, over what is there.
    const known = ids.filter(() => below(3) === 0).map((id) => spelled.get(id)!);
    const fresh = Array.from({ length: below(4) }, (_, i) => word(`added${i}`));
    const added = [...known, ...fresh].map((content): [number, string] => [99, content]);
    fresh.forEach((content, i) => {
      spelled.set(size + i, content);
    });
    const pipeline = new EncodingPipeline({
      json: jsonOf(vocab, added),
      specialTokens: {},
      chatTemplates: [],
    });
    const table = new TokenTable(buildTokenTable(pipeline, null));
    const expected = Array.from(
      { length: Math.max(...spelled.keys()) + 1 },
      (_, id) => spelled.get(id) ?? '',
    );
    expect(Array.from({ length: table.size }, (_, id) => table.spellingOf(id))).toEqual(expected);
    expect(table.data.bytes.length).toBe(Buffer.byteLength(expected.join('')));
  }
});
