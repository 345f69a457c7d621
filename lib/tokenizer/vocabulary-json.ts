/**
 * Reads `tokenizer.json`. Vocabulary and merges are nearly all of the file: they go from its bytes into their tables, and the
 * rest to `JSON.parse`. A file that is not plain enough for that, or damaged, goes to `JSON.parse` whole.
 */
import { isUtf8 } from 'node:buffer';
import {
  decodeTables,
  encodeTables,
  type Range,
  type TextInPieces,
  type VocabularyTables,
} from './compiled-tables.js';
import { checkJsonSize, checkJsonText } from './json-size.js';
import { byteOf, JsonScanner, NotPlain } from '../json-scanner.js';
import { MergeList } from './models/merge-list.js';
import { maxId, TokenIndex } from './models/token-index.js';

type Tables = Partial<VocabularyTables>;

/** Bytes of a file for each token of its vocabulary, merges included: a guess, so that tables need not grow. */
const bytesOfToken = 64;
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** `model.vocab` becomes a TokenIndex and `model.merges` a MergeList where they can. Throws SyntaxError. */
export function parseTokenizerJson(file: Buffer): unknown {
  const bytes = isUtf8(file) ? file : Buffer.from(file.toString());
  const { vocab, merges } = readTables(bytes);
  if (vocab === undefined) {
    checkJsonSize(bytes);
    return JSON.parse(bytes.toString());
  }
  const value = parseRest(bytes, [vocab.range, ...(merges ? [merges.range] : [])]);
  value.model.vocab = vocab.index;
  if (merges) value.model.merges = merges.list;
  return value;
}

/** The tables of a file, for `parseCompiled`. undefined: it has none, or is not plain. */
export function compileTokenizerJson(file: Buffer): Buffer | undefined {
  if (!isUtf8(file)) return undefined;
  const { vocab, merges } = readTables(file);
  return vocab && encodeTables(file, { vocab, merges });
}

/** What `parseTokenizerJson` gives for the text that `compiled` was made from. undefined: it was made from another, or is none. */
export function parseCompiled(compiled: Uint8Array, text: TextInPieces): unknown {
  const tables = decodeTables(compiled, text);
  if (tables) checkJsonText(tables.rest);
  const whole = tables && modelOf(tables.rest);
  if (whole === undefined) return undefined;
  const { fields, value } = whole;
  const { index, merges } = tables!;
  if (fields.vocab !== null || (merges && fields.merges !== null)) return undefined;
  fields.vocab = index;
  const prefix = fields.continuing_subword_prefix;
  if (merges) {
    fields.merges = MergeList.of(index, typeof prefix === 'string' ? prefix : '', merges.ids, merges.slots);
  }
  return value;
}

/** undefined: it is no JSON, or has no model. */
function modelOf(text: string): { value: unknown; fields: Record<string, unknown> } | undefined {
  try {
    const value = JSON.parse(text);
    const fields = value?.model;
    return typeof fields === 'object' && fields !== null ? { value, fields } : undefined;
  } catch {
    return undefined;
  }
}

/** With null for what is cut out. */
function parseRest(bytes: Buffer, cuts: Range[]): { model: Record<string, unknown> } {
  let text = '';
  let at = 0;
  for (const { start, end } of cuts.sort((a, b) => a.start - b.start)) {
    text += `${bytes.toString('utf8', at, start)}null`;
    at = end;
  }
  text += bytes.toString('utf8', at);
  checkJsonText(text);
  try {
    return JSON.parse(text);
  } catch {
    // It fails again, and names the place in the whole file.
    return JSON.parse(bytes.toString());
  }
}

function readTables(bytes: Buffer): Tables {
  try {
    // As what all other bytes are: code that meets two kinds of arrays is compiled again, and slower.
    return new TablesReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)).read();
  } catch (error) {
    if (error instanceof NotPlain) return {};
    throw error;
  }
}

class TablesReader {
  readonly #scanner: JsonScanner;
  #tables: Tables = {};
  /** `continuing_subword_prefix`, once it has been read. */
  #prefix: string | undefined;
  /** Where merges begin that come before what is needed to read them. */
  #waiting: number | undefined;

  constructor(bytes: Uint8Array) {
    this.#scanner = new JsonScanner(bytes);
  }

  /** Throws NotPlain. */
  read(): Tables {
    const scanner = this.#scanner;
    this.#fields((name) => {
      if (name === 'model' && scanner.peek() === byteOf.openObject) this.#model();
      else scanner.skip();
    });
    return this.#tables;
  }

  /** The fields of an object, each of which `read` takes the value of. Of equal names only JSON.parse knows what they mean. */
  #fields(read: (name: string) => void): void {
    const scanner = this.#scanner;
    const names = new Set<string>();
    if (!scanner.enter(byteOf.openObject, byteOf.closeObject)) return;
    do {
      const name = this.#text();
      if (names.has(name)) throw new NotPlain();
      names.add(name);
      scanner.take(byteOf.colon);
      read(name);
    } while (scanner.more(byteOf.closeObject));
  }

  #text(): string {
    const scanner = this.#scanner;
    scanner.string();
    return decoder.decode(scanner.text.subarray(scanner.start, scanner.end));
  }

  #model(): void {
    const scanner = this.#scanner;
    this.#fields((name) => {
      const first = scanner.peek();
      if (name === 'vocab' && first === byteOf.openObject) this.#vocab();
      else if (name === 'merges' && first === byteOf.openArray) this.#merges();
      else if (name === 'continuing_subword_prefix') this.#readPrefix(first);
      else scanner.skip();
    });
    this.#prefix ??= '';
    if (this.#waiting === undefined || this.#tables.vocab === undefined) return;
    const end = scanner.at;
    scanner.at = this.#waiting;
    this.#merges();
    scanner.at = end;
  }

  #readPrefix(first: number): void {
    if (first === byteOf.quote) {
      this.#prefix = this.#text();
    } else {
      this.#prefix = '';
      this.#scanner.skip();
    }
  }

  #vocab(): void {
    const scanner = this.#scanner;
    const start = scanner.at;
    const expected = Math.ceil(scanner.bytes.length / bytesOfToken);
    const index = new TokenIndex(expected, 8 * expected);
    if (scanner.enter(byteOf.openObject, byteOf.closeObject)) {
      do {
        scanner.string();
        const { text, start, end } = scanner;
        scanner.take(byteOf.colon);
        index.addBytes(text, start, end, scanner.wholeNumber(maxId));
      } while (scanner.more(byteOf.closeObject));
    }
    this.#tables.vocab = { index, range: { start, end: scanner.at } };
  }

  /** Pairs, or strings with a space between the two. */
  #merges(): void {
    const scanner = this.#scanner;
    const start = scanner.at;
    const index = this.#tables.vocab?.index;
    if (index === undefined || this.#prefix === undefined) {
      this.#waiting = start;
      scanner.skip();
      return;
    }
    const list = new MergeList(index, this.#prefix, index.count);
    if (scanner.enter(byteOf.openArray, byteOf.closeArray)) {
      do {
        if (!this.#merge(list)) throw new NotPlain();
      } while (scanner.more(byteOf.closeArray));
    }
    if (!list.flush()) throw new NotPlain();
    this.#tables.merges = { list, range: { start, end: scanner.at } };
  }

  #merge(list: MergeList): boolean {
    const scanner = this.#scanner;
    if (scanner.peek() === byteOf.quote) {
      scanner.string();
      return list.pushSpelled(scanner.keep(), scanner.start, scanner.end);
    }
    scanner.take(byteOf.openArray);
    scanner.string();
    const text = scanner.keep();
    const { start, end } = scanner;
    scanner.take(byteOf.comma);
    scanner.string();
    const right = scanner.keep();
    const { start: next, end: last } = scanner;
    scanner.take(byteOf.closeArray);
    if (text === right) return list.push(text, start, end, next, last);
    const middle = end - start;
    const both = new Uint8Array(middle + last - next);
    both.set(text.subarray(start, end));
    both.set(right.subarray(next, last), middle);
    return list.push(both, 0, middle, middle, both.length);
  }
}
