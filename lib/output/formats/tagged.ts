/** Formats that write each argument between tags of its own: Qwen3-Coder's, and what GLM, Seed, MiniMax and DeepSeek have. */
import type { CallSyntax, TagSyntax } from '../../structure/answer-shape.js';
import type { CallFormat, FormatContext, FormatMaker, Source } from '../format.js';
import { cutOff, damagedRest } from '../json-call.js';
import { isPlainString } from '../../structure/written-types.js';
import { argumentTypes, jsonOf } from '../parameter.js';
import type { Reading } from '../reader.js';
import { spelledText } from '../special-text.js';

/** Tools and their arguments have no longer names. */
const longestName = 256;

/** What says how a value is written. */
type Value = 'schema' | 'string' | 'json';

interface Tags {
  /** Around one or more calls. Default: none. */
  section?: { open: readonly string[]; close: readonly string[] };
  /** Around one call; `nameEnd` stands behind the name. */
  call: { open: string; nameEnd: readonly string[]; close: string };
  /** Around one argument; `nameEnd` says how its value is written. */
  argument: { open: string; nameEnd: Readonly<Record<string, Value>>; close: string };
  /** Between name and value, with white space. */
  valueOpen?: string;
  /** Values have lines of their own: a line end at their beginning and at their end is no part of them. */
  ownLines?: boolean;
  /** Values may stand between these. */
  quotes?: { open: string; close: string };
}

/** Markers as they come, and what the request says. */
interface Reader extends Tags {
  context: FormatContext;
  /** What ends a damaged call. */
  ends: { closers: readonly string[]; openers: readonly string[] };
}

export function tagged(tags: Tags): FormatMaker {
  return (context): CallFormat => {
    const { coded } = context;
    const { section, call, argument } = tags;
    const openers = section ? section.open.map(coded) : [coded(call.open)];
    const tag: Reader = {
      ...tags,
      context,
      section: section && { open: openers, close: section.close.map(coded) },
      call: { open: coded(call.open), nameEnd: call.nameEnd.map(coded), close: coded(call.close) },
      argument: {
        open: coded(argument.open),
        nameEnd: Object.fromEntries(Object.entries(argument.nameEnd).map(([end, how]) => [coded(end), how])),
        close: coded(argument.close),
      },
      valueOpen: tags.valueOpen && coded(tags.valueOpen),
      ends: { closers: [coded(call.close)], openers: [...(section?.close.map(coded) ?? []), ...openers] },
    };
    return {
      openers,
      calls: (source, opener) => (section ? calls(source, tag, opener) : namedCall(source, tag, opener)),
      syntax: syntaxOf(tags, context),
    };
  };
}

function syntaxOf(
  { section, call, argument, valueOpen, ownLines }: Tags,
  { marker }: FormatContext,
): CallSyntax {
  const line = ownLines ? '\n' : '';
  const nameEnds = Object.entries(argument.nameEnd);
  const nameEnd = (kind: Value) => (nameEnds.find(([, how]) => how === kind) ?? nameEnds[0])[0];
  const before = (kind: Value) => marker(nameEnd(kind) + (valueOpen ? `\n${valueOpen}` : '') + line);
  const tags: TagSyntax = {
    open: marker(argument.open),
    beforeText: before('string'),
    beforeJson: before('json'),
    close: marker(line + argument.close),
  };
  const inSection = section ? (['space', marker(call.open)] as const) : [];
  return {
    openers: section ? section.open.map(marker) : [marker(call.open)],
    inner: section ? marker(call.open) : [],
    lead: [],
    call: [...inSection, 'name', marker(call.nameEnd[0] ?? ''), 'arguments', 'space', marker(call.close)],
    between: section ? [] : undefined,
    end: section ? ['space', marker(section.close[0])] : [],
    arguments: tags,
  };
}

/** Calls of a section. */
function* calls(source: Source, tag: Reader, opener: string): Reading<void> {
  const { reader, answer } = source;
  reader.record(true);
  yield* reader.skipSpace();
  if ((yield* reader.take([tag.call.open])) === undefined) {
    answer.addText(opener + reader.record(false));
    return;
  }
  let begun = opener + reader.record(false);
  for (;;) {
    yield* namedCall(source, tag, begun);
    yield* reader.skipSpace();
    if ((yield* reader.take(tag.section!.close)) !== undefined) return;
    if ((yield* reader.take([tag.call.open])) === undefined) return;
    begun = tag.call.open;
  }
}

/** A call whose opening tag has been taken. */
function* namedCall(source: Source, tag: Reader, begun: string): Reading<void> {
  const { reader, answer } = source;
  reader.record(true);
  const { nameEnd, close } = tag.call;
  const name = (yield* reader.shortBefore([...nameEnd, tag.argument.open, close], longestName))?.trim();
  const taken = reader.record(false);
  if (name === undefined || !/^[\w.:-]+$/.test(name)) {
    answer.addText(begun + taken);
    return;
  }
  yield* reader.take(nameEnd);
  answer.beginCall(name);
  let isFirst = true;
  for (;;) {
    yield* reader.skipSpace();
    const next = yield* reader.take([tag.argument.open, close]);
    if (next === close) break;
    const isRead = next !== undefined && (yield* argument(source, tag, name, isFirst));
    if (!isRead) {
      const isOver = (yield* reader.peek()) === '';
      yield* damagedRest(source, isOver ? cutOff : 'The arguments are damaged.', tag.ends);
      return;
    }
    isFirst = false;
  }
  answer.addArguments(isFirst ? '{}' : '}');
  answer.endCall();
}

/** @returns whether it was whole */
function* argument(source: Source, tag: Reader, tool: string, isFirst: boolean): Reading<boolean> {
  const { reader, answer } = source;
  const { nameEnd, close } = tag.argument;
  const ends = Object.keys(nameEnd);
  const name = yield* reader.shortBefore(ends, longestName);
  if (name === undefined) return false;
  const how = nameEnd[(yield* reader.take(ends))!];
  if (tag.valueOpen !== undefined) {
    yield* reader.skipSpace();
    if ((yield* reader.take([tag.valueOpen])) === undefined) return false;
  }
  answer.addArguments(`${isFirst ? '{' : ', '}${JSON.stringify(name.trim())}: `);
  const isQuoted = tag.quotes !== undefined && (yield* reader.take([tag.quotes.open])) !== undefined;
  const types = how === 'schema' ? argumentTypes(tag.context.tools, tool, name.trim()) : undefined;
  const isText = isQuoted || how === 'string' || isPlainString(types);
  const value = new ValueText(isText, tag.ownLines === true, types, (json) => answer.addArguments(json));
  const end = yield* reader.upTo([isQuoted ? tag.quotes!.close : close], (text) => value.push(text));
  if (end === undefined) return false;
  value.end();
  if (isQuoted) yield* reader.take([close]);
  return true;
}

/** A value's text as JSON: a string's as it comes, others when they are whole. */
class ValueText {
  #text = '';
  #isOpen = false;

  constructor(
    readonly isString: boolean,
    readonly ownLines: boolean,
    readonly types: readonly string[] | undefined,
    readonly emit: (json: string) => void,
  ) {}

  push(text: string): void {
    this.#text += spelledText(text);
    if (!this.isString) return;
    if (!this.#isOpen) {
      if (this.ownLines && this.#text.startsWith('\n')) this.#text = this.#text.slice(1);
      this.#isOpen = true;
      this.emit('"');
    }
    // The last line end may stand before the closing tag.
    const holds = this.ownLines && this.#text.endsWith('\n');
    this.emit(JSON.stringify(holds ? this.#text.slice(0, -1) : this.#text).slice(1, -1));
    this.#text = holds ? '\n' : '';
  }

  end(): void {
    if (this.isString) {
      if (!this.#isOpen) this.emit('"');
      this.emit('"');
      return;
    }
    const text = this.ownLines ? this.#text.replace(/^\n/, '').replace(/\n$/, '') : this.#text;
    this.emit(jsonOf(text, this.types));
  }
}

const equalsName = {
  call: { open: '<function=', nameEnd: ['>'], close: '</function>' },
  argument: { open: '<parameter=', nameEnd: { '>': 'schema' as const }, close: '</parameter>' },
  ownLines: true,
};

/** Qwen3-Coder, Qwen 3.5, Nemotron 3, Step 3.5. */
export const qwenCoder = tagged({
  ...equalsName,
  section: { open: ['<tool_call>'], close: ['</tool_call>'] },
});

export const seed = tagged({
  ...equalsName,
  section: { open: ['<seed:tool_call>'], close: ['</seed:tool_call>'] },
});

export const minimax = tagged({
  section: { open: ['<minimax:tool_call>'], close: ['</minimax:tool_call>'] },
  call: { open: '<invoke name="', nameEnd: ['">'], close: '</invoke>' },
  argument: { open: '<parameter name="', nameEnd: { '">': 'schema' }, close: '</parameter>' },
});

/** DeepSeek from V3.2 on. */
const dsml = (section: string): FormatMaker =>
  tagged({
    section: { open: [`<｜DSML｜${section}>`], close: [`</｜DSML｜${section}>`] },
    call: { open: '<｜DSML｜invoke name="', nameEnd: ['">'], close: '</｜DSML｜invoke>' },
    argument: {
      open: '<｜DSML｜parameter name="',
      nameEnd: { '" string="true">': 'string', '" string="false">': 'json', '">': 'schema' },
      close: '</｜DSML｜parameter>',
    },
  });
export const dsmlFunctionCalls = dsml('function_calls');
export const dsmlToolCalls = dsml('tool_calls');

/** GLM 4.5 and on, Ling, Laguna, Spark. */
export const glm = tagged({
  call: { open: '<tool_call>', nameEnd: [], close: '</tool_call>' },
  argument: { open: '<arg_key>', nameEnd: { '</arg_key>': 'schema' }, close: '</arg_value>' },
  valueOpen: '<arg_value>',
});

/** MiniCPM 5. */
export const minicpm = tagged({
  call: { open: '<function name="', nameEnd: ['">'], close: '</function>' },
  argument: { open: '<param name="', nameEnd: { '">': 'schema' }, close: '</param>' },
  quotes: { open: '<![CDATA[', close: ']]>' },
});
