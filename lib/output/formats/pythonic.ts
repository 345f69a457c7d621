/** Calls as Python: `[name(key="text", other=1), second()]`, as LFM2 writes them. */
import type { CallSyntax } from '../../structure/answer-shape.js';
import type { CallFormat, FormatMaker, Source, WrittenCall } from '../format.js';
import { cutOff, damagedRest } from '../json-call.js';
import type { Reader, Reading } from '../reader.js';

const longestName = 256;
const mostNested = 100;

/** JSON of a value; undefined: it is damaged. */
type Value = Reading<string | undefined>;

const words: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null' };
const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', '0': '\0' };

export const lfm2: FormatMaker = ({ coded, marker }): CallFormat => {
  const openers = [coded('<|tool_call_start|>')];
  const closers = [coded('<|tool_call_end|>')];

  function* calls(source: Source, opener: string): Reading<void> {
    const { reader, answer } = source;
    let begun = opener;
    reader.record(true);
    yield* reader.skipSpace();
    const isList = (yield* reader.take(['['])) !== undefined;
    for (;;) {
      yield* reader.skipSpace();
      const name = (yield* reader.shortBefore(['(', ']', ...closers], longestName))?.trim();
      const taken = reader.record(false);
      if (name === undefined || !/^[\w.:-]+$/.test(name)) {
        if (begun !== '') answer.addText(begun + taken);
        break;
      }
      begun = '';
      if ((yield* reader.take(['('])) === undefined) break;
      answer.beginCall(name);
      const fault = yield* argumentsOf(source);
      if (fault !== undefined) return yield* damagedRest(source, fault, { closers, openers });
      yield* reader.skipSpace();
      if (!isList || (yield* reader.take([','])) === undefined) break;
      reader.record(true);
    }
    reader.record(false);
    yield* reader.take([']']);
    yield* reader.skipSpace();
    yield* reader.take(closers);
  }

  const syntax: CallSyntax = {
    openers: [marker('<|tool_call_start|>')],
    lead: [['[']],
    call: ['name', ['('], 'arguments'],
    end: [],
    arguments: 'unknown',
  };
  return { openers, calls, syntax };
};

export function writtenPython(calls: readonly WrittenCall[]): string {
  const texts = calls.map(({ name, arguments: given }) => {
    const pairs = Object.entries(given).map(([key, value]) => `${key}=${python(value)}`);
    return `${name}(${pairs.join(', ')})`;
  });
  return `<|tool_call_start|>[${texts.join(', ')}]<|tool_call_end|>`;
}

function python(value: unknown): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${python(item)}`);
  return `{${entries.join(', ')}}`;
}

/** Behind the bracket. @returns what is wrong */
function* argumentsOf({ reader, answer }: Source): Reading<string | undefined> {
  let isFirst = true;
  for (;;) {
    yield* reader.skipSpace();
    if ((yield* reader.take([')'])) !== undefined) break;
    const key = (yield* reader.shortText(['='], longestName))?.trim();
    yield* reader.skipSpace();
    const value = key !== undefined && /^\w+$/.test(key) ? yield* literal(reader, 0) : undefined;
    if (value === undefined) return (yield* reader.peek()) === '' ? cutOff : 'The arguments are damaged.';
    answer.addArguments(`${isFirst ? '{' : ', '}${JSON.stringify(key)}: ${value}`);
    isFirst = false;
    yield* reader.skipSpace();
    yield* reader.take([',']);
  }
  answer.addArguments(isFirst ? '{}' : '}');
  answer.endCall();
  return undefined;
}

function* literal(reader: Reader, depth: number): Value {
  if (depth > mostNested) return undefined;
  const next = yield* reader.peek();
  if (next === '"' || next === "'") return yield* text(reader);
  if (next === '[') return yield* sequence(reader, '[', ']', () => literal(reader, depth + 1));
  if (next === '(') return yield* sequence(reader, '(', ')', () => literal(reader, depth + 1));
  if (next === '{') return yield* sequence(reader, '{', '}', () => entry(reader, depth + 1));
  const word = (yield* reader.shortBefore([',', ')', ']', '}', ':'], longestName))?.trim() ?? '';
  try {
    return JSON.stringify(JSON.parse(Object.hasOwn(words, word) ? words[word] : word));
  } catch {
    return undefined;
  }
}

function* entry(reader: Reader, depth: number): Value {
  const key = yield* literal(reader, depth);
  yield* reader.skipSpace();
  if (key === undefined || (yield* reader.take([':'])) === undefined) return undefined;
  yield* reader.skipSpace();
  const value = yield* literal(reader, depth);
  return value === undefined ? undefined : `${key.startsWith('"') ? key : JSON.stringify(key)}: ${value}`;
}

function* sequence(reader: Reader, open: string, close: string, item: () => Value): Value {
  yield* reader.take([open]);
  const items: string[] = [];
  for (;;) {
    yield* reader.skipSpace();
    if ((yield* reader.take([close])) !== undefined) break;
    const one = yield* item();
    if (one === undefined) return undefined;
    items.push(one);
    yield* reader.skipSpace();
    if ((yield* reader.take([','])) !== undefined) continue;
    if ((yield* reader.take([close])) === undefined) return undefined;
    break;
  }
  return open === '{' ? `{${items.join(', ')}}` : `[${items.join(', ')}]`;
}

/** A string in either kind of quotes. */
function* text(reader: Reader): Value {
  const quote = yield* reader.next();
  let value = '';
  for (;;) {
    const character = yield* reader.next();
    if (character === '') return undefined;
    if (character === quote) return JSON.stringify(value);
    if (character !== '\\') {
      value += character;
      continue;
    }
    const escaped = yield* reader.next();
    const digits = { x: 2, u: 4, U: 8 }[escaped];
    if (digits === undefined) value += escapes[escaped] ?? escaped;
    else {
      let code = '';
      while (code.length < digits) {
        const digit = yield* reader.next();
        if (!/^[\da-fA-F]$/.test(digit)) return undefined;
        code += digit;
      }
      if (Number.parseInt(code, 16) > 0x10ffff) return undefined;
      value += String.fromCodePoint(Number.parseInt(code, 16));
    }
  }
}
