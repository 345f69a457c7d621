/**
 * Works out the bytes that each token adds to a text, by reading the decoder of a tokenizer definition. Only decoders
 * that treat tokens one by one can be taken apart so; others are refused rather than decoded wrongly.
 */
import { KvasirError } from '../errors.js';
import { byteOfCharacter } from './byte-spelling.js';
import type { AddedTokenEntry, Component } from './definition.js';
import type { TokenTableData } from './token-table.js';

/** One token on its way through the decoder: text, or the single byte it stands for. */
type Piece = string | number;

/** Data rather than closures: V8 would compile those anew for each model that a process loads. */
type Step =
  | { type: 'replace'; from: string; replacement: string }
  | { type: 'byteFallback' }
  | { type: 'strip'; content: string; start: number; stop: number }
  | { type: 'space' }
  | { type: 'wordPiece'; prefix: string; cleanup: boolean; first: boolean };

interface Plan {
  steps: Step[];
  leadingSpaces: number;
  /** The token's characters stand for bytes, as GPT-2 spells them. */
  byteLevel: boolean;
  /** What the first token of a text reads like, where it differs. */
  first?: Step[];
}

function replaceStep(component: Component): Step {
  const pattern = component.pattern as { String?: string; Regex?: string } | undefined;
  const content = String(component.content ?? '');
  if (typeof pattern?.String !== 'string') throw unsupported('Replace with a regular expression');
  // In a replacement "$$" is one "$".
  return { type: 'replace', from: pattern.String, replacement: content.replaceAll('$', '$$$$') };
}

function stripStep(component: Component): Step {
  const { content, start, stop } = component as unknown as { content: string; start: number; stop: number };
  return { type: 'strip', content, start, stop };
}

function wordPieceStep(component: Component, first: boolean): Step {
  const prefix = String(component.prefix ?? '##');
  return { type: 'wordPiece', prefix, cleanup: component.cleanup !== false, first };
}

function strip(text: string, content: string, start: number, stop: number): string {
  let from = 0;
  while (from < start && text[from] === content) ++from;
  let to = text.length;
  while (text.length - to < stop && to > from && text[to - 1] === content) --to;
  return text.slice(from, to);
}

/** Spaces that the reference takes out before punctuation and English contractions. */
const wordPieceCleanup = [' .', ' ?', ' !', ' ,', " ' ", " n't", " 'm", " 's", " 've", " 're"] as const;

function joinWordPiece(token: string, { prefix, cleanup, first }: Step & { type: 'wordPiece' }): string {
  let text = ` ${token}`;
  if (first) text = token;
  else if (token.startsWith(prefix)) text = token.slice(prefix.length);
  if (cleanup) for (const part of wordPieceCleanup) text = text.replaceAll(part, part.trim());
  return text;
}

function apply(step: Step, piece: Piece): Piece {
  if (typeof piece === 'number') return piece;
  switch (step.type) {
    case 'replace':
      return piece.replaceAll(step.from, step.replacement);
    case 'byteFallback': {
      const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece);
      return match ? Number.parseInt(match[1]!, 16) : piece;
    }
    case 'strip':
      return strip(piece, step.content, step.start, step.stop);
    case 'space':
      return ` ${piece}`;
    case 'wordPiece':
      return joinWordPiece(piece, step);
  }
}

function unsupported(what: string): KvasirError {
  return new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `The tokenizer turns tokens into text by "${what}", which is not supported.`,
  );
}

/** After `Fuse` a decoder sees the whole text: only dropping spaces from its front can be done token by token. */
function addFused(plan: Plan, component: Component): void {
  const { type, content, start, stop } = component as Component & {
    content?: string;
    start?: number;
    stop?: number;
  };
  if (type !== 'Strip' || content !== ' ' || (stop ?? 0) !== 0) throw unsupported(`${type} after Fuse`);
  plan.leadingSpaces += start ?? 0;
}

function addStep(plan: Plan, component: Component): void {
  switch (component.type) {
    case 'ByteLevel':
      plan.byteLevel = true;
      return;
    case 'Replace':
      plan.steps.push(replaceStep(component));
      return;
    case 'ByteFallback':
      plan.steps.push({ type: 'byteFallback' });
      return;
    case 'Strip':
      plan.steps.push(stripStep(component));
      return;
    case 'Metaspace': {
      const replacement = String(component.replacement ?? '\u2581');
      plan.steps.push({ type: 'replace', from: replacement, replacement: ' ' });
      const prepends = component.prepend_scheme !== 'never' && component.add_prefix_space !== false;
      if (prepends) plan.leadingSpaces += 1;
      return;
    }
    case 'WordPiece':
      plan.first = [...plan.steps, wordPieceStep(component, true)];
      plan.steps.push(wordPieceStep(component, false));
      return;
    default:
      throw unsupported(component.type);
  }
}

function planOf(decoder: Component | null): Plan {
  const plan: Plan = { steps: [], leadingSpaces: 0, byteLevel: false };
  if (decoder === null) {
    // Without a decoder the reference puts a space between tokens.
    plan.steps.push({ type: 'space' });
    plan.leadingSpaces = 1;
    return plan;
  }
  const parts = decoder.type === 'Sequence' ? (decoder.decoders as Component[]) : [decoder];
  let fused = false;
  for (const part of parts) {
    if (part.type === 'Fuse') fused = true;
    else if (fused) addFused(plan, part);
    else addStep(plan, part);
  }
  return plan;
}

const encoder = new TextEncoder();

/** Bytes one after the other, in a buffer that grows. */
class ByteWriter {
  #bytes: Uint8Array;
  length = 0;

  constructor(expected: number) {
    this.#bytes = new Uint8Array(expected);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.length++] = value;
  }

  utf8(text: string): void {
    // At most 3 bytes for each UTF-16 unit.
    this.#reserve(3 * text.length);
    for (let i = 0; i < text.length; ++i) {
      const unit = text.charCodeAt(i);
      if (unit < 0x80) {
        this.#bytes[this.length++] = unit;
        continue;
      }
      this.length += encoder.encodeInto(text.slice(i), this.#bytes.subarray(this.length)).written;
      return;
    }
  }

  /** False, and nothing written, when a character stands for no byte. */
  spelledBytes(text: string): boolean {
    this.#reserve(text.length);
    let end = this.length;
    for (let i = 0; i < text.length; ++i) {
      const byte = byteOfCharacter(text.charCodeAt(i));
      if (byte < 0) return false;
      this.#bytes[end++] = byte;
    }
    this.length = end;
    return true;
  }

  take(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  #reserve(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.length + more));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}

function packTokens(
  vocabulary: readonly (string | undefined)[],
  steps: readonly Step[],
  byteLevel: boolean,
): { bytes: Uint8Array; offsets: Uint32Array } {
  const writer = new ByteWriter(8 * vocabulary.length);
  const offsets = new Uint32Array(vocabulary.length + 1);
  for (let id = 0; id < vocabulary.length; ++id) {
    let piece: Piece = vocabulary[id] ?? '';
    for (const step of steps) piece = apply(step, piece);
    if (typeof piece === 'number') writer.byte(piece);
    else if (!byteLevel || !writer.spelledBytes(piece)) writer.utf8(piece);
    offsets[id + 1] = writer.length;
  }
  return { bytes: writer.take(), offsets };
}

/** Throws UNSUPPORTED_ARCHITECTURE for a decoder that cannot be taken apart. */
export function buildTokenTable(
  vocabulary: readonly (string | undefined)[],
  added: readonly AddedTokenEntry[],
  decoder: Component | null,
): TokenTableData {
  const plan = planOf(decoder);
  const special = new Uint8Array(vocabulary.length);
  for (const token of added) special[token.id] = token.special ? 1 : 0;
  return {
    ...packTokens(vocabulary, plan.steps, plan.byteLevel),
    ...(plan.first ? { first: packTokens(vocabulary, plan.first, plan.byteLevel) } : {}),
    leadingSpaces: plan.leadingSpaces,
    special,
  };
}
