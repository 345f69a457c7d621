/** Formats that write a call as a name, then its arguments as a JSON object. */
import type { CallFormat, FormatMaker, Source } from '../format.js';
import { cutOff, damagedRest } from '../json-call.js';
import type { Reading } from '../reader.js';

/** No tool has a longer name; what is longer was no call. */
const longestName = 256;

interface NamedJson {
  /** Begins a call, or a section of calls. */
  open: readonly string[];
  /** Coded markers behind the name. */
  afterName: readonly string[];
  /** May end a call. */
  close?: readonly string[];
  /** How a forced call begins. */
  opening: string;
}

/** What stands between a marker and the name's end, as id and name. */
type NameReader = (text: string) => { name: string; id?: string };

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

export function namedJson({ open, afterName, close = [], opening }: NamedJson): FormatMaker {
  return ({ coded }): CallFormat => {
    const openers = open.map(coded);
    const markers = { openers, afterName: afterName.map(coded), closers: close.map(coded) };
    return {
      openers,
      calls: (source, opener) => namedCall(source, opener, markers),
      opening: (name) => opening.replace('NAME', name),
    };
  };
}

/** Mistral from Small 3.1 on: `[TOOL_CALLS]name[CALL_ID]id[ARGS]{...}`, the id where the template has one. */
export const mistralNamed: FormatMaker = ({ coded }) => {
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
    opening: (name) => `[TOOL_CALLS]${name}[ARGS]`,
  };
};
