/** Lines of stdin or of a file, and what one says: a JSON string, an object with a text or a vector, or itself. */
import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import { UsageError } from './failure.js';

/** UTF-16 units. */
const LONGEST_LINE = 16_000_000;

/** A line: its text, its vector, and the other fields of an object. */
export interface Item {
  text?: string;
  embedding?: readonly number[];
  fields: object;
}

export const stdinLines = (signal: AbortSignal): AsyncGenerator<string> =>
  linesOf(process.stdin, 'stdin', signal);

export function fileLines(path: string, signal: AbortSignal): AsyncGenerator<string> {
  return linesOf(createReadStream(path), path, signal);
}

async function* linesOf(from: Readable, name: string, signal: AbortSignal): AsyncGenerator<string> {
  signal.throwIfAborted();
  let rest = '';
  try {
    for await (const chunk of addAbortSignal(signal, from.setEncoding('utf8'))) {
      const lines = `${rest}${chunk}`.split(/\r?\n/);
      rest = lines.pop() as string;
      if (rest.length > LONGEST_LINE)
        throw new UsageError(`A line of ${name} is longer than 16 million characters.`);
      yield* lines;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  yield rest.replace(/\r$/, '');
}

/** Items of lines, empty ones left out, so many at a time. */
export async function* groupsOf(lines: AsyncIterable<string>, most: number): AsyncGenerator<Item[]> {
  let group: Item[] = [];
  for await (const line of lines) {
    if (line === '') continue;
    group.push(itemOf(line));
    if (group.length < most) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

function isVector(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'number');
}

function itemOf(line: string): Item {
  const value = jsonOf(line);
  if (typeof value === 'string') return { text: value, fields: {} };
  if (isVector(value)) return { embedding: value, fields: {} };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { text: line, fields: {} };
  const { text, embedding, ...fields } = value as Record<string, unknown>;
  return {
    text: typeof text === 'string' ? text : undefined,
    embedding: isVector(embedding) ? embedding : undefined,
    fields,
  };
}

function jsonOf(line: string): unknown {
  if (!'"{['.includes(line[0])) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Of a line that must have one. Throws UsageError. */
export function textOf({ text, fields }: Item): string {
  if (text !== undefined) return text;
  throw new UsageError(`A line of stdin is without a "text": ${JSON.stringify(fields).slice(0, 60)}`);
}
