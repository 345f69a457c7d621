/**
 * How much of a text one token can stand for, so that a text that cannot fit is refused before it is encoded. Only for
 * definitions in which every character of a text ends up in a token, and no normalizer makes a text shorter.
 */
import { checked, type CheckedComponent } from './component.js';
import type { Component, TokenizerJson } from './definition.js';
import type { EncodingPipeline } from './encoding-pipeline.js';
import { characterOf } from './byte-spelling.js';
import { byteToken } from './models/bpe.js';

/** UTF-16 units. undefined: there is no bound. `spellings`: of the pipeline. */
export function unitsOfToken(
  pipeline: EncodingPipeline,
  spellings = pipeline.spellings(),
): number | undefined {
  const { json } = pipeline.definition;
  if (!keepsLength(json.normalizer) || !keepsAll(json.pre_tokenizer) || !knowsAll(json, pipeline))
    return undefined;
  let most = 1;
  for (const { id, content, lstrip, rstrip } of pipeline.addedTokens) {
    // They take any number of spaces.
    if (lstrip || rstrip) return undefined;
    most = Math.max(most, content.length, pipeline.tokenOf(id)!.length);
  }
  const { bytes, offsets } = spellings;
  for (let id = 0; id + 1 < offsets.length; ++id) {
    // A unit has a byte at least.
    if (offsets[id + 1]! - offsets[id]! > most)
      most = Math.max(most, unitsIn(bytes, offsets[id]!, offsets[id + 1]!));
  }
  return most;
}

function unitsIn(bytes: Uint8Array, from: number, end: number): number {
  let units = 0;
  for (let i = from; i < end; ++i) {
    if ((bytes[i]! & 0xc0) !== 0x80) units += bytes[i]! >= 0xf0 ? 2 : 1;
  }
  return units;
}

function every(
  component: Component | null,
  list: string,
  holds: (node: CheckedComponent) => boolean,
): boolean {
  if (component === null) return true;
  const node = checked('component', component);
  if (node.type !== 'Sequence') return holds(node);
  return node.components(list).every(({ fields }) => every(fields, list, holds));
}

function keepsLength(normalizer: Component | null): boolean {
  return every(normalizer, 'normalizers', ({ type, fields }) => {
    if (type === 'Prepend') return true;
    const part = (fields.pattern as { String?: unknown } | undefined)?.String;
    const { content } = fields;
    return (
      type === 'Replace' &&
      typeof part === 'string' &&
      typeof content === 'string' &&
      content.length >= part.length
    );
  });
}

/** What is removed by a pre-tokenizer takes no token. */
function keepsAll(preTokenizer: Component | null): boolean {
  return every(preTokenizer, 'pretokenizers', ({ type, fields }) => {
    if (type === 'Split' || type === 'Punctuation') return fields.behavior !== 'Removed';
    return ['ByteLevel', 'Metaspace', 'Digits', 'FixedLength'].includes(type);
  });
}

/** Characters that are not known are left out, or many of them become one token. */
function knowsAll({ model }: TokenizerJson, pipeline: EncodingPipeline): boolean {
  if (model.type !== 'BPE') return false;
  if (!pipeline.spellsBytes && model.byte_fallback !== true) return false;
  const spell = pipeline.spellsBytes ? characterOf : byteToken;
  return Array.from({ length: 256 }, (_, byte) => spell(byte)).every(
    (token) => pipeline.idOf(token) !== undefined,
  );
}
