/** How pieces of words become text. */

/** Spaces that the reference takes out before punctuation and English contractions. */
const cleanups = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
] as const;

export function cleanUp(text: string): string {
  return cleanups.reduce((clean, [from, to]) => clean.replaceAll(from, to), text);
}

export function joinWordPiece(token: string, prefix: string, cleans: boolean, first: boolean): string {
  let text = token;
  if (!first) text = token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
  return cleans ? cleanUp(text) : text;
}
