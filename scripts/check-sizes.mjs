// How long a file and a C++ function may be. Functions of TypeScript and JavaScript are biome's to measure
// (noExcessiveLinesPerFunction). Kernels may be longer: their tiles are written out. The reader of C++ knows braces, not
// the language: a function is a brace behind parentheses where no function is open yet, so that lambdas and local classes
// count for the function around them. It does not see what a macro makes of its arguments, nor a constructor that
// initialises a member in braces. Node built-ins only.
import { stripComments } from './source-text.mjs';

export const maxFileLines = 400;
export const maxFunctionLines = 60;

/** Files of kernels. */
const kernels = /^native\/backend\/\w+\/(ops_\w+|[^/]*\.cuh?$)/;

/** Blanks what could hold a brace that is none: comments, literals and directives. The lines stay. */
function onlyCode(text) {
  const raw = text.replace(/R"(\w*)\([\s\S]*?\)\1"/g, (match) => match.replace(/[^\n]/g, ' '));
  return stripComments(raw, true).replace(/^[ \t]*#(?:[^\n]*\\\n)*[^\n]*/gm, (match) =>
    match.replace(/[^\n]/g, ' '),
  );
}

const scope = /^\s*(?:template\s*<[^{}]*>\s*)?(?:inline\s+)?(?:namespace|class|struct|union|enum|extern)\b/;
const isFunction = (head) => head.includes('(') && !scope.test(head) && !/=\s*$/.test(head);

/** @returns {{ line: number, lines: number }[]} the functions of a C++ source, from the head's first line on */
export function functionsOf(text) {
  const found = [];
  let [depth, line, head, headLine] = [0, 1, '', 1];
  /** Where the open function began, and at which depth; undefined outside of functions. */
  let open;
  for (const char of onlyCode(text)) {
    if (char === '\n') line += 1;
    if (char === '{') {
      if (!open && isFunction(head)) open = { depth, line: headLine };
      depth += 1;
    } else if (char === '}') {
      depth -= 1;
      if (open?.depth === depth) {
        found.push({ line: open.line, lines: line - open.line + 1 });
        open = undefined;
      }
    }
    if (/[{};]/.test(char)) head = '';
    else {
      if (head.trim() === '') headLine = line;
      head += char;
    }
  }
  return found;
}

/** @returns {[number, string][]} line and message for what is too long */
export function checkSizes(name, text) {
  const found = [];
  const lines = text.split('\n').length - 1;
  if (lines > maxFileLines) found.push([maxFileLines, `${lines} lines; ${maxFileLines} is the end`]);
  if (!/^native\/.*\.(cc|h)$/.test(name) || kernels.test(name)) return found;
  for (const { line, lines } of functionsOf(text)) {
    if (lines > maxFunctionLines) {
      found.push([line, `a function of ${lines} lines; ${maxFunctionLines} is the end`]);
    }
  }
  return found;
}
