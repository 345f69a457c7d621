/**
 * Files of word vectors: word2vec's binary and text form, GloVe's text. They are read in pieces; a file that is cut, longer
 * than its head says, or holds what is no number is refused.
 */
import { KvasirError } from '../errors.js';
import { type OpenFile, withRegularFile } from '../regular-file.js';
import { MOST_WORDS, WordTable } from './word-table.js';

const MOST_BYTES = 2 ** 40;
const MOST_DIMENSIONS = 65_536;
/** Bytes of a word. */
const LONGEST_WORD = 10_000;
/** Bytes of a number in text. */
const LONGEST_NUMBER = 64;
/** Bytes that are read at a time: their numbers take the thread well under 8 ms. */
const PIECE = 2 ** 16;
const NEWLINE = 10;
const SPACE = 32;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws MODEL_NOT_FOUND, MODEL_FORMAT, INSUFFICIENT_MEMORY or the signal's reason. @param limit words at most */
export function readWordFile(
  path: string,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<WordTable> {
  return withRegularFile(path, MOST_BYTES, async (file) => {
    const reader = new Reader(path, file, signal);
    const first = (await reader.peekLine(LONGEST_WORD + MOST_DIMENSIONS * LONGEST_NUMBER)) ?? '';
    const head = /^(\d{1,15}) (\d{1,15})$/.exec(first.trimEnd());
    if (head === null) return readText(reader, { dimensions: dimensionsOf(reader, first), limit });
    const [count, dimensions] = [Number(head[1]), Number(head[2])];
    if (dimensions < 1 || dimensions > MOST_DIMENSIONS)
      throw reader.damaged(`its vectors have ${dimensions} numbers`);
    if (count < 1 || count > MOST_WORDS) throw reader.damaged(`its head says ${count} words`);
    reader.skipLine();
    const second = await reader.peekLine(LONGEST_WORD + dimensions * LONGEST_NUMBER);
    const isText = second !== undefined && isTextLine(second.trimEnd(), dimensions);
    return isText
      ? readText(reader, { count, dimensions, limit })
      : readBinary(reader, { count, dimensions, limit });
  });
}

interface Form {
  /** Of the head, where there is one. */
  count?: number;
  dimensions: number;
  limit: number;
}

/** A file whose bytes are looked at in order. */
class Reader {
  #from = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(
    readonly path: string,
    readonly file: OpenFile,
    readonly signal: AbortSignal | undefined,
  ) {}

  damaged(why: string): KvasirError {
    return new KvasirError('MODEL_FORMAT', `${this.path} is no whole file of word vectors: ${why}.`);
  }

  /** Whether `count` bytes lie ahead; then `ahead` has them. */
  async has(count: number): Promise<boolean> {
    while (this.#bytes.length - this.#at < count) {
      if (!(await this.#readOn())) return false;
    }
    return true;
  }

  get ahead(): Buffer {
    return this.#bytes.subarray(this.#at);
  }

  skip(count: number): void {
    this.#at += count;
  }

  /** Bytes up to the next newline or the end of the file, without it; undefined where none comes within `most`. */
  async line(most: number): Promise<Buffer | undefined> {
    for (let seen = 0; ; ) {
      const end = this.#bytes.indexOf(NEWLINE, this.#at + seen);
      if (end >= 0) return end - this.#at <= most ? this.#bytes.subarray(this.#at, end) : undefined;
      seen = this.#bytes.length - this.#at;
      if (seen > most) return undefined;
      if (!(await this.#readOn())) return this.ahead;
    }
  }

  async peekLine(most: number): Promise<string | undefined> {
    return (await this.line(most))?.toString('latin1');
  }

  /** One that `line` gave. */
  skipLine(): void {
    const end = this.#bytes.indexOf(NEWLINE, this.#at);
    this.#at = end < 0 ? this.#bytes.length : end + 1;
  }

  async #readOn(): Promise<boolean> {
    this.signal?.throwIfAborted();
    const piece = await this.file.read(this.#from, PIECE);
    if (piece.length === 0) return false;
    this.#from += piece.length;
    this.#bytes = this.#at === this.#bytes.length ? piece : Buffer.concat([this.ahead, piece]);
    this.#at = 0;
    return true;
  }
}

function wordOf(reader: Reader, bytes: Buffer): string {
  if (bytes.length === 0) throw reader.damaged('a word is empty');
  if (bytes.length > LONGEST_WORD) throw reader.damaged(`a word has more than ${LONGEST_WORD} bytes`);
  try {
    return utf8.decode(bytes);
  } catch {
    throw reader.damaged('a word is not UTF-8');
  }
}

/** Fields of a line of numbers without a word; NaN stands for what is no number. */
const numberPattern = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/;

function isTextLine(line: string, dimensions: number): boolean {
  const fields = line.split(' ');
  return fields.length > dimensions && fields.slice(-dimensions).every((field) => numberPattern.test(field));
}

/** Of GloVe's first line, whose word has no space. */
function dimensionsOf(reader: Reader, line: string): number {
  const fields = line.trimEnd().split(' ');
  const dimensions = fields.length - 1;
  if (dimensions < 2 || dimensions > MOST_DIMENSIONS || !isTextLine(line.trimEnd(), dimensions)) {
    throw reader.damaged('its first line is neither a head nor a word with numbers behind it');
  }
  return dimensions;
}

/** Word and numbers, a space between; a word may have spaces itself. */
async function readText(reader: Reader, { count, dimensions, limit }: Form): Promise<WordTable> {
  const table = new WordTable(dimensions);
  const longest = LONGEST_WORD + dimensions * LONGEST_NUMBER;
  let lines = 0;
  while (lines < limit && (await reader.has(1))) {
    const line = await reader.line(longest);
    if (line === undefined) throw reader.damaged(`line ${lines + 1} of its words is too long`);
    if (lines >= (count ?? MOST_WORDS)) throw reader.damaged(`it has more than ${lines} words`);
    takeLine(reader, table, line, lines);
    reader.skipLine();
    lines++;
  }
  if (count !== undefined && lines < Math.min(count, limit)) {
    throw reader.damaged(`it has ${lines} of ${count} words`);
  }
  return table;
}

function takeLine(reader: Reader, table: WordTable, line: Buffer, number: number): void {
  const { dimensions } = table;
  let end = line.length;
  while (end > 0 && (line[end - 1] === SPACE || line[end - 1] === 13)) end--;
  let start = end;
  for (let fields = 0; fields < dimensions; fields++) {
    start = line.lastIndexOf(SPACE, start - 1);
    if (start < 1) throw reader.damaged(`word ${number + 1} has fewer than ${dimensions} numbers`);
  }
  const vector = table.next();
  const fields = line.toString('latin1', start + 1, end).split(' ');
  for (let i = 0; i < dimensions; i++) {
    vector[i] = numberPattern.test(fields[i]) ? Number(fields[i]) : Number.NaN;
    if (!Number.isFinite(vector[i])) {
      throw reader.damaged(`number ${i + 1} of word ${number + 1} is not finite in float32`);
    }
  }
  table.commit(wordOf(reader, line.subarray(0, start)));
}

/** Word, a space, float32 values; a newline may precede the word. */
async function readBinary(reader: Reader, { count = 0, dimensions, limit }: Form): Promise<WordTable> {
  const table = new WordTable(dimensions);
  const values = Buffer.alloc(4 * dimensions);
  const floats = new Float32Array(values.buffer, values.byteOffset, dimensions);
  for (let word = 0; word < Math.min(count, limit); word++) {
    const length = await lengthOfWord(reader, word, count);
    const bytes = Buffer.from(reader.ahead.subarray(0, length));
    reader.skip(length + 1);
    if (!(await reader.has(values.length))) throw reader.damaged(`it has ${word} of ${count} words`);
    reader.ahead.copy(values, 0, 0, values.length);
    reader.skip(values.length);
    if (!floats.every(Number.isFinite))
      throw reader.damaged(`word ${word + 1} has a number that is not finite`);
    table.next().set(floats);
    table.commit(wordOf(reader, bytes));
  }
  if (count <= limit && (await reader.has(2))) throw reader.damaged(`it goes on behind its ${count} words`);
  return table;
}

/** Bytes of the word ahead, which ends with a space; newlines before it are skipped. */
async function lengthOfWord(reader: Reader, word: number, count: number): Promise<number> {
  while ((await reader.has(1)) && reader.ahead[0] === NEWLINE) reader.skip(1);
  for (let seen = 0; seen <= LONGEST_WORD; ) {
    if (!(await reader.has(seen + 1))) throw reader.damaged(`it has ${word} of ${count} words`);
    const end = reader.ahead.indexOf(SPACE, seen);
    if (end >= 0) return end;
    seen = reader.ahead.length;
  }
  throw reader.damaged(`word ${word + 1} has more than ${LONGEST_WORD} bytes`);
}
