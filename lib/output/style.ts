/**
 * How a model answers, told by its chat template: the format of its calls and the markers around its thoughts. The model's
 * name says nothing.
 */
import type { FormatMaker } from './format.js';
import { hermes, llama3, mistralList } from './formats/json-blocks.js';
import { mistralNamed } from './formats/named-json.js';

interface KnownFormat {
  name: string;
  isOf(template: string): boolean;
  make: FormatMaker;
}

const holds =
  (...texts: string[]) =>
  (template: string): boolean =>
    texts.every((text) => template.includes(text));

/** The first that fits: those with rarer markers stand before those whose markers others have too. */
const known: readonly KnownFormat[] = [
  { name: 'mistral', isOf: holds('[TOOL_CALLS]', '[ARGS]'), make: mistralNamed },
  { name: 'mistral-list', isOf: holds('[TOOL_CALLS]'), make: mistralList },
  { name: 'hermes', isOf: holds('<tool_call>', '</tool_call>'), make: hermes },
  { name: 'llama-3', isOf: holds('<|start_header_id|>ipython', '"parameters": '), make: llama3 },
];

/** undefined: the template tells no tools, or in a way that is not known. */
export function templateFormat(template: string): { name: string; make: FormatMaker } | undefined {
  return template.includes('tools') ? known.find(({ isOf }) => isOf(template)) : undefined;
}
