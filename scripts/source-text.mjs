// Reads source text without the language's grammar. Node built-ins only.

/** Blanks comments (and, for calls, string literals) but keeps the lines, so that numbers in messages hold. */
export function stripComments(text, strings) {
  const pattern = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g;
  return text.replace(pattern, (match) => {
    if (match.startsWith('/')) return match.replace(/[^\n]/g, ' ');
    return strings ? match.replace(/[^\n]/g, ' ') : match;
  });
}
