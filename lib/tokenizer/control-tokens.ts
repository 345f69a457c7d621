/** Keeps a model from making control tokens out of what users write: a vocabulary may have their spellings as plain pieces. */
import { TokenSink, type WordModel } from './models/model.js';

/** Encodes text[from, to); what would become one of the barred tokens is encoded character by character instead. */
export function encodeWithout(
  barred: ReadonlySet<number>,
  model: WordModel,
  piece: string,
  tokens: TokenSink,
): void {
  const before = tokens.count;
  model.encode(piece, 0, piece.length, tokens);
  if (!tokens.ids.subarray(before, tokens.count).some((id) => barred.has(id))) return;
  tokens.count = before;
  const spans = new TokenSink(true);
  model.encode(piece, 0, piece.length, spans);
  const bytes = Buffer.from(piece);
  for (let i = 0; i < spans.count; ++i) {
    if (barred.has(spans.ids[i]!)) {
      const spelling = bytes.subarray(spans.spans![2 * i], spans.spans![2 * i + 1]).toString();
      for (const character of spelling) pushCharacter(barred, model, character, tokens);
    } else {
      tokens.push(spans.ids[i]!, 0, 0);
    }
  }
}

/** A character that is a control token by itself is left out. */
function pushCharacter(
  barred: ReadonlySet<number>,
  model: WordModel,
  character: string,
  tokens: TokenSink,
): void {
  const alone = new TokenSink(false);
  model.encode(character, 0, character.length, alone);
  for (const id of alone.ids.subarray(0, alone.count)) if (!barred.has(id)) tokens.push(id, 0, 0);
}
