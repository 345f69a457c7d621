/** How many texts a request may have computed. */
import type { Call } from './call.js';
import { invalid } from './failure.js';

/** Throws a Failure. @param param the field that they are in, and what they are called there */
export function checkInputs(count: number, { limits }: Call, param: 'input' | 'documents'): void {
  if (count <= limits.inputs) return;
  const what = param === 'input' ? 'inputs' : param;
  throw invalid(`There are ${count} ${what}; at most ${limits.inputs} may be.`, param);
}

/** Throws a Failure for too many. */
export function inputTexts(input: string | string[], call: Call): string[] {
  const texts = typeof input === 'string' ? [input] : input;
  checkInputs(texts.length, call, 'input');
  return texts;
}
