/**
 * JSON as Python's json module writes it: NaN, Infinity and -Infinity are numbers. For the small files of a model folder; what
 * is plain JSON is parsed at its speed.
 */

/** A string, which may hold anything (without its end: all that follows), or one of the words. */
const stringOrWord = /"[^"\\]*(?:\\[\s\S][^"\\]*)*(?:"|\\?$)|NaN|-?Infinity/g;

/** Stands for NaN, of which JSON has no spelling. No writer puts a NUL into a text. */
const nan = '\u0000NaN';

/** Throws SyntaxError as JSON.parse does. */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const plain = withoutWords(text);
    if (plain === text) throw error;
    return JSON.parse(plain, (_key, value) => (value === nan ? Number.NaN : value));
  }
}

/** The words as JSON has them: a number beyond all doubles is infinite. */
function withoutWords(text: string): string {
  return text.replace(stringOrWord, (match) => {
    if (match.startsWith('"')) return match;
    return match === 'NaN' ? JSON.stringify(nan) : match.replace('Infinity', '1e999');
  });
}
