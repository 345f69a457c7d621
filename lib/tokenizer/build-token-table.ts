/** Writes the spellings of a tokenizer's tokens one after the other: those of the model, and the added ones in their places. */
import type { Component } from './definition.js';
import type { EncodingPipeline } from './encoding-pipeline.js';
import type { Spellings } from './models/model.js';
import type { TokenTableData } from './token-table.js';

/** `spellings`: of the pipeline. */
export function buildTokenTable(
  pipeline: EncodingPipeline,
  decoder: Component | null,
  spellings = pipeline.spellings(),
): TokenTableData {
  const count = pipeline.idEnd;
  const special = new Uint8Array(count);
  const changes: Change[] = [];
  for (const { id } of pipeline.addedTokens) {
    special[id] = pipeline.isSpecial(id) ? 1 : 0;
    const spelling = pipeline.tokenOf(id)!;
    if (!isSpelled(spellings, id, spelling)) changes.push({ id, spelling: Buffer.from(spelling) });
  }
  changes.sort((a, b) => a.id - b.id);
  return { ...withChanges(spellings, changes, count), special, decoder };
}

interface Change {
  id: number;
  spelling: Uint8Array;
}

/** Whether an id, which may be beyond them, has that spelling already: most added tokens are of the vocabulary. */
function isSpelled({ bytes, offsets }: Spellings, id: number, spelling: string): boolean {
  if (id + 1 >= offsets.length) return false;
  const [from, end] = [offsets[id]!, offsets[id + 1]!];
  if (end - from !== spelling.length) return Buffer.from(spelling).equals(bytes.subarray(from, end));
  // As many bytes as units: all are ASCII, or they differ.
  for (let i = 0; i < spelling.length; ++i) {
    const unit = spelling.charCodeAt(i);
    if (unit > 0x7f || bytes[from + i] !== unit) return false;
  }
  return true;
}

/** `changes`: by id. Ids that neither has are empty. */
function withChanges({ bytes, offsets }: Spellings, changes: readonly Change[], count: number): Spellings {
  const last = offsets.length - 1;
  if (changes.length === 0 && count === last) return { bytes: bytes.slice(), offsets: offsets.slice() };
  const replaced = (id: number): number => (id < last ? offsets[id + 1]! - offsets[id]! : 0);
  const grown = changes.reduce((sum, { id, spelling }) => sum + spelling.length - replaced(id), 0);
  const out = new Uint8Array(bytes.length + grown);
  const places = new Uint32Array(count + 1);
  let id = 0;
  let length = 0;
  const copyUntil = (end: number): void => {
    const known = Math.max(id, Math.min(end, last));
    const from = offsets[Math.min(id, last)]!;
    const to = offsets[Math.min(end, last)]!;
    out.set(bytes.subarray(from, to), length);
    // Mostly nothing has moved so far.
    if (length === from) places.set(offsets.subarray(id + 1, known + 1), id + 1);
    else for (let i = id; i < known; ++i) places[i + 1] = length + offsets[i + 1]! - from;
    length += to - from;
    places.fill(length, known + 1, end + 1);
    id = end;
  };
  for (const change of changes) {
    copyUntil(change.id);
    out.set(change.spelling, length);
    length += change.spelling.length;
    places[++id] = length;
  }
  copyUntil(count);
  return { bytes: out, offsets: places };
}
