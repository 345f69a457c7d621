/** Gemma 4: `<|tool_call>call:name{key:<|"|>text<|"|>,other:1}<tool_call|>`. */
import type { CallSyntax } from '../../structure/answer-shape.js';
import type { CallFormat, FormatMaker, Source } from '../format.js';
import { cutOff, damagedRest } from '../json-call.js';
import type { Reader, Reading } from '../reader.js';
import { spelledText } from '../special-text.js';

const longestName = 256;
const mostNested = 100;

/** JSON of a value; undefined: it is damaged. */
type Value = Reading<string | undefined>;

export const gemma4: FormatMaker = ({ coded, marker }): CallFormat => {
  const openers = [coded('<|tool_call>')];
  const closers = [coded('<tool_call|>')];
  const quote = coded('<|"|>');

  function* call(source: Source, opener: string): Reading<void> {
    const { reader, answer } = source;
    reader.record(true);
    const isCall = (yield* reader.take(['call:'])) !== undefined;
    const name = isCall ? yield* reader.shortBefore(['{'], longestName) : undefined;
    const taken = reader.record(false);
    if (name === undefined || !/^[\w.:-]+$/.test(name)) {
      answer.addText(opener + taken);
      return;
    }
    answer.beginCall(name);
    reader.record(true);
    const value = yield* object(reader, 0);
    const written = reader.record(false);
    if (value === undefined) {
      answer.addArguments(written);
      const isOver = (yield* reader.peek()) === '';
      yield* damagedRest(source, isOver ? cutOff : 'The arguments are damaged.', { closers, openers });
      return;
    }
    answer.addArguments(value);
    answer.endCall();
    yield* reader.skipSpace();
    yield* reader.take(closers);
  }

  function* object(reader: Reader, depth: number): Value {
    return yield* list(reader, '{', '}', depth, function* () {
      const key = (yield* reader.take([quote])) ? yield* quoted(reader) : yield* bareKey(reader);
      if (key === undefined || (yield* reader.take([':'])) === undefined) return undefined;
      yield* reader.skipSpace();
      const item = yield* value(reader, depth + 1);
      return item === undefined ? undefined : `${key}: ${item}`;
    });
  }

  function* value(reader: Reader, depth: number): Value {
    if (depth > mostNested) return undefined;
    if ((yield* reader.take([quote])) !== undefined) return yield* quoted(reader);
    const next = yield* reader.peek();
    if (next === '{') return yield* object(reader, depth);
    if (next === '[') return yield* list(reader, '[', ']', depth, () => value(reader, depth + 1));
    const text = yield* reader.shortBefore([',', '}', ']'], longestName);
    try {
      return JSON.stringify(JSON.parse(text ?? ''));
    } catch {
      return undefined;
    }
  }

  function* quoted(reader: Reader): Value {
    let text = '';
    const end = yield* reader.upTo([quote], (piece) => {
      text += piece;
    });
    return end === undefined ? undefined : JSON.stringify(spelledText(text));
  }

  const syntax: CallSyntax = {
    openers: [marker('<|tool_call>')],
    lead: [],
    call: [['call:'], 'name', ['{'], 'arguments'],
    end: [],
    arguments: 'unknown',
  };
  return { openers, calls: call, syntax };
};

function* bareKey(reader: Reader): Value {
  const key = yield* reader.shortBefore([':', ',', '}'], longestName);
  return key === undefined ? undefined : JSON.stringify(key.trim());
}

/** `item` reads one, as JSON. */
function* list(reader: Reader, open: string, close: string, depth: number, item: () => Value): Value {
  if (depth > mostNested || (yield* reader.take([open])) === undefined) return undefined;
  const items: string[] = [];
  for (;;) {
    yield* reader.skipSpace();
    if (items.length === 0 && (yield* reader.take([close])) !== undefined) break;
    const one = yield* item();
    if (one === undefined) return undefined;
    items.push(one);
    yield* reader.skipSpace();
    const next = yield* reader.take([',', close]);
    if (next === undefined) return undefined;
    if (next === close) break;
  }
  return `${open}${items.join(', ')}${close}`;
}
