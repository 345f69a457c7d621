/** Writes the spellings of a tokenizer's tokens one after the other. */
import type { Component } from './definition.js';
import type { EncodingPipeline } from './encoding-pipeline.js';
import type { TokenTableData } from './token-table.js';

export function buildTokenTable(pipeline: EncodingPipeline, decoder: Component | null): TokenTableData {
  const count = pipeline.idEnd;
  const offsets = new Uint32Array(count + 1);
  const special = new Uint8Array(count);
  let bytes = new Uint8Array(16 * count);
  let length = 0;
  for (let id = 0; id < count; ++id) {
    const spelling = pipeline.bytesOf(id);
    if (spelling !== undefined) {
      if (length + spelling.length > bytes.length) {
        const larger = new Uint8Array(2 * (length + spelling.length));
        larger.set(bytes);
        bytes = larger;
      }
      bytes.set(spelling, length);
      length += spelling.length;
    }
    offsets[id + 1] = length;
  }
  for (const { id } of pipeline.addedTokens) special[id] = pipeline.isSpecial(id) ? 1 : 0;
  return { bytes: bytes.slice(0, length), offsets, special, decoder };
}
