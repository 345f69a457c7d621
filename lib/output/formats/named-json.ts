/** Formats that write a call as a name, then its arguments as a JSON object. */
import type { CallPart } from '../../structure/answer-shape.js';
import type { CallFormat, FormatContext, FormatMaker, Source } from '../format.js';
import { cutOff, damagedRest } from '../json-call.js';
import type { Reading } from '../reader.js';

/** No tool has a longer name; what is longer was no call. */
const longestName = 256;

/** What stands between a marker and the name's end, as id and name. */
type NameReader = (text: string) => { name: string; id?: string };

interface NamedJson {
  /** Begins a call, or a section of calls. */
  open: readonly string[];
  /** Coded markers behind the name. */
  afterName: readonly string[];
  /** May end a call. */
  close?: readonly string[];
  /** Around sections of calls. */
  ignored?: readonly string[];
  read?: NameReader;
  /** Between the name and the arguments; the number of a call in place of #. */
  inCall: { beforeName?: string; afterName: string };
}

/** `name<marker>{...}` */
export function* namedCall(
  source: Source,
  begun: string,
  {
    afterName,
    closers,
    openers,
  }: { afterName: readonly string[]; closers: readonly string[]; openers: readonly string[] },
  read: NameReader = (text) => ({ name: text.trim() }),
): Reading<void> {
  const { reader, answer } = source;
  reader.record(true);
  const text = yield* reader.shortText(afterName, longestName);
  const taken = reader.record(false);
  const { name, id } = read(text ?? '');
  if (text === undefined || !/^[\w.:-]+$/.test(name)) {
    answer.addText(begun + taken);
    return;
  }
  answer.beginCall(name, id);
  yield* callArguments(source, { closers, openers });
}

/** The arguments of a call that has begun, and what ends it. */
export function* callArguments(
  source: Source,
  markers: { closers: readonly string[]; openers: readonly string[] },
): Reading<void> {
  const { reader, answer } = source;
  yield* reader.skipSpace();
  if ((yield* reader.take(markers.closers)) !== undefined) {
    answer.addArguments('{}');
    answer.endCall();
    return;
  }
  const outcome = yield* reader.json((text) => answer.addArguments(text));
  if (outcome === 'whole') {
    answer.endCall();
    yield* reader.skipSpace();
    yield* reader.take(markers.closers);
  } else {
    yield* damagedRest(source, outcome === 'cut' ? cutOff : 'The arguments are no JSON.', markers);
  }
}

export function namedJson({
  open,
  afterName,
  close = [],
  ignored = [],
  read,
  inCall,
}: NamedJson): FormatMaker {
  return ({ coded, marker }): CallFormat => {
    const openers = open.map(coded);
    const markers = { openers, afterName: afterName.map(coded), closers: close.map(coded) };
    return {
      openers,
      ignored: ignored.map(coded),
      calls: (source, opener) => namedCall(source, opener, markers, read),
      syntax: {
        // Calls stand in a section, where the format has any.
        openers: [marker(ignored[0] ?? open[0])],
        inner: ignored.length > 0 ? marker(open[0]) : [],
        lead: [],
        call: [
          ...(ignored.length > 0 ? (['space', marker(open[0])] as const) : []),
          marker(inCall.beforeName ?? ''),
          'name',
          ...withNumber(inCall.afterName, marker),
          'arguments',
          ...(close.length > 0 ? (['space', marker(close[0])] as const) : []),
        ],
        between: ignored.length > 0 ? [] : undefined,
        end: ignored.length > 0 ? ['space', marker(ignored[1])] : [],
        arguments: 'json',
      },
    };
  };
}

function withNumber(text: string, marker: FormatContext['marker']): CallPart[] {
  const [first, ...rest] = text.split('#');
  return [marker(first), ...rest.flatMap((one) => ['number', marker(one)] as const)];
}

/** DeepSeek V3.1. */
export const deepseek31 = namedJson({
  ignored: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'],
  open: ['<｜tool▁call▁begin｜>'],
  afterName: ['<｜tool▁sep｜>'],
  close: ['<｜tool▁call▁end｜>'],
  inCall: { afterName: '<｜tool▁sep｜>' },
});

/** DeepSeek V3 and R1: the kind of call, then its name and a block of JSON. */
export const deepseek = namedJson({
  ignored: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'],
  open: ['<｜tool▁call▁begin｜>function<｜tool▁sep｜>'],
  afterName: ['\n```json'],
  close: ['```<｜tool▁call▁end｜>', '<｜tool▁call▁end｜>'],
  inCall: { afterName: '\n```json\n' },
});

export const functionary31 = namedJson({
  open: ['<function='],
  afterName: ['>'],
  close: ['</function>'],
  inCall: { afterName: '>' },
});

/** The id is the name with its namespace, and the number of the call. */
export const kimi = namedJson({
  ignored: ['<|tool_calls_section_begin|>', '<|tool_calls_section_end|>'],
  open: ['<|tool_call_begin|>'],
  afterName: ['<|tool_call_argument_begin|>'],
  close: ['<|tool_call_end|>'],
  inCall: { beforeName: 'functions.', afterName: ':#<|tool_call_argument_begin|>' },
  read: (text) => ({
    name: text
      .trim()
      .replace(/^functions\./, '')
      .replace(/:\d+$/, ''),
    id: text.trim(),
  }),
});

/** Functionary 3.2: the prompt has opened the first recipient. */
export const functionary32: FormatMaker = () => ({
  openers: [],
  *calls() {},
  *whole(source) {
    const { reader, answer, isStructured } = source;
    const next = ['>>>'];
    yield* reader.take(next);
    for (;;) {
      reader.record(true);
      const name = (yield* reader.shortText(['\n'], longestName))?.trim();
      const taken = reader.record(false);
      if (name === 'all' || name === undefined) {
        if (name === undefined) answer.addText(taken);
        const ends = isStructured ? [] : next;
        if ((yield* reader.upTo(ends, (text) => answer.addText(text))) === undefined) return;
        continue;
      }
      answer.beginCall(name);
      yield* callArguments(source, { closers: next, openers: [] });
      if ((yield* reader.peek()) === '') return;
    }
  },
  syntax: {
    openers: [],
    lead: [],
    call: ['name', ['\n'], 'arguments'],
    between: [['>>>']],
    end: [],
    arguments: 'json',
  },
  messages: { before: [{ begin: ['all\n'], end: ['>>>'] }], next: [], final: ['all\n'], never: '>>>' },
});

/** Mistral from Small 3.1 on: `[TOOL_CALLS]name[CALL_ID]id[ARGS]{...}`, the id where the template has one. */
export const mistralNamed: FormatMaker = ({ coded, marker }) => {
  const openers = [coded('[TOOL_CALLS]')];
  const callId = coded('[CALL_ID]');
  const markers = { openers, afterName: [coded('[ARGS]')], closers: [] };
  const read: NameReader = (text) => {
    const [name, id] = text.split(callId);
    return { name: name.trim(), id: id?.trim() };
  };
  return {
    openers,
    calls: (source, opener) => namedCall(source, opener, markers, read),
    syntax: {
      openers: [marker('[TOOL_CALLS]')],
      inner: marker('[CALL_ID][ARGS]'),
      lead: [],
      call: ['name', marker('[ARGS]'), 'arguments'],
      end: [],
      arguments: 'json',
    },
  };
};
