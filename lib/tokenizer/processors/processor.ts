/** Post-processors: what is put around one text or two, and offsets without the spaces of their tokens. */
import { checked, type CheckedComponent, refused } from '../component.js';
import type { Component } from '../definition.js';
import type { Encoding, Processor } from './encoding.js';
import { templateProcessor } from './template.js';
import { trimOffsets, type TokenText } from './trim-offsets.js';

/** `tokenOf`: the spelling of an id. Throws MODEL_FORMAT. */
export function createProcessor(component: Component | null, tokenOf: TokenText): Processor {
  return component === null
    ? (encodings) => encodings
    : create(checked('post-processor', component), tokenOf);
}

function create(node: CheckedComponent, tokenOf: TokenText): Processor {
  switch (node.type) {
    case 'Sequence': {
      const stages = node.components('processors').map((one) => create(one, tokenOf));
      return (encodings, adds) => stages.reduce((parts, stage) => stage(parts, adds), encodings);
    }
    case 'TemplateProcessing':
      return templateProcessor(node);
    case 'ByteLevel':
      return trimming(node, tokenOf);
    case 'BertProcessing':
      return surrounding(node, (parts) => parts);
    case 'RobertaProcessing': {
      const trim = trimming(node, tokenOf);
      return surrounding(node, (parts, adds) =>
        trim(parts, adds).map((part) => ({ ...part, typeIds: new Int32Array(part.ids.length) })),
      );
    }
    default:
      throw refused('post-processor', node.type);
  }
}

function trimming(node: CheckedComponent, tokenOf: TokenText): Processor {
  if (!node.flag('trim_offsets', true)) return (encodings) => encodings;
  const prefixed = node.flag('add_prefix_space', true);
  return (encodings) => encodings.map((encoding) => trimOffsets(encoding, prefixed, tokenOf));
}

function idOf(node: CheckedComponent, name: string): number {
  const pair = node.fields[name];
  const id = Array.isArray(pair) ? pair[1] : undefined;
  if (Number.isSafeInteger(id) && id >= 0) return id;
  throw node.wrong(name, 'a token and its id');
}

/** One classifying token, the first text and a separator; the second text has a separator behind it. */
function surrounding(node: CheckedComponent, first: Processor): Processor {
  const [sep, cls] = [idOf(node, 'sep'), idOf(node, 'cls')];
  const roberta = node.type === 'RobertaProcessing';
  return (encodings, adds) => {
    const parts = first(encodings, adds);
    if (!adds) return parts;
    return parts.map((part, i) => {
      if (i === 0) return around([cls], part, [sep], 0);
      return around(roberta ? [sep] : [], part, [sep], roberta ? 0 : 1);
    });
  };
}

function around(before: number[], part: Encoding, after: number[], type: number): Encoding {
  const ids = new Int32Array(before.length + part.ids.length + after.length);
  ids.set(before);
  ids.set(part.ids, before.length);
  ids.set(after, before.length + part.ids.length);
  const typeIds = new Int32Array(ids.length).fill(type);
  typeIds.set(part.typeIds, before.length);
  if (part.offsets === undefined) return { ids, typeIds };
  const offsets = new Int32Array(2 * ids.length);
  offsets.set(part.offsets, 2 * before.length);
  const values = part.values && new Map([...part.values].map(([i, value]) => [i + before.length, value]));
  return { ids, typeIds, offsets, text: part.text, values };
}
