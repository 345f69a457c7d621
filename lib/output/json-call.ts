/** Calls as JSON objects: `{"name": ..., "arguments": {...}}`, with the names that families give to these members. */
import type { Source } from './format.js';
import type { Reading } from './reader.js';

const nameKeys = ['name', 'tool_name', 'function_name', 'function'];
const argumentKeys = ['arguments', 'parameters', 'args'];

const noJson = 'The arguments are no JSON.';
export const cutOff = 'The call was cut off.';

export interface JsonCallOptions {
  /** What names no tool of the request is no call: the text has no marker that says so. */
  onlyTools?: boolean;
  /** `{"<name>": {<arguments>}}` */
  nameIsKey?: boolean;
}

/** A call that is being read. */
class Draft {
  hasBegun = false;
  hasArguments = false;
  /** Arguments that came before the name. */
  #early = '';

  constructor(
    readonly source: Source,
    readonly options: JsonCallOptions,
  ) {}

  /** @returns why there is no call */
  begin(name: string): string | undefined {
    const { answer } = this.source;
    if (this.options.onlyTools && !answer.isTool(name)) return 'no tool';
    if (this.hasBegun) return 'The call has two names.';
    this.hasBegun = true;
    answer.beginCall(name);
    answer.addArguments(this.#early);
    return undefined;
  }

  addArguments(text: string): void {
    if (this.hasBegun) this.source.answer.addArguments(text);
    else this.#early += text;
  }
}

/**
 * Reads one object, whose brace comes next. `none`: it is no call, and nothing is reported. `damaged`: the call has begun,
 * and what follows is still part of it; the caller ends it.
 */
export function* jsonCall(
  source: Source,
  options: JsonCallOptions = {},
): Reading<'whole' | 'none' | { damaged: string }> {
  const draft = new Draft(source, options);
  const fault = yield* members(draft);
  if (!draft.hasBegun) return 'none';
  if (fault !== undefined) return { damaged: fault };
  if (!draft.hasArguments) source.answer.addArguments('{}');
  source.answer.endCall();
  return 'whole';
}

/** An object's members. @returns what is wrong */
function* members(draft: Draft): Reading<string | undefined> {
  const { reader } = draft.source;
  yield* reader.next();
  for (;;) {
    yield* reader.skipSpace();
    if ((yield* reader.peek()) === '}') {
      yield* reader.next();
      return undefined;
    }
    const key = yield* reader.jsonString();
    yield* reader.skipSpace();
    if (key === undefined || (yield* reader.peek()) !== ':') return yield* fault(draft);
    yield* reader.next();
    yield* reader.skipSpace();
    const wrong = yield* member(draft, key);
    if (wrong !== undefined) return wrong;
    yield* reader.skipSpace();
    const next = yield* reader.peek();
    if (next === ',') yield* reader.next();
    else if (next !== '}') return yield* fault(draft);
  }
}

function* fault({ source }: Draft): Reading<string> {
  return (yield* source.reader.peek()) === '' ? cutOff : noJson;
}

function* member(draft: Draft, key: string): Reading<string | undefined> {
  const { reader } = draft.source;
  if (draft.options.nameIsKey) return draft.begin(key) ?? (yield* argumentsOf(draft));
  if (argumentKeys.includes(key)) return yield* argumentsOf(draft);
  if (!nameKeys.includes(key)) return yield* skipped(draft);
  if ((yield* reader.peek()) === '{') return yield* members(draft);
  const name = yield* reader.jsonString();
  return name === undefined ? yield* fault(draft) : draft.begin(name);
}

/** Members that say nothing about the call. */
function* skipped({ source }: Draft): Reading<string | undefined> {
  const outcome = yield* source.reader.json(() => {});
  if (outcome === 'whole') return undefined;
  return outcome === 'cut' ? cutOff : noJson;
}

/** An object as it comes; a string that holds one, as what it holds; null as {}. */
function* argumentsOf(draft: Draft): Reading<string | undefined> {
  const { reader } = draft.source;
  draft.hasArguments = true;
  if ((yield* reader.peek()) === '"') {
    const text = yield* reader.jsonString();
    if (text === undefined) return yield* fault(draft);
    draft.addArguments(text);
    return undefined;
  }
  let first = true;
  let scalar = '';
  const outcome = yield* reader.json((text) => {
    const isObject = first ? text.startsWith('{') : scalar === '';
    first = false;
    if (isObject) draft.addArguments(text);
    else scalar += text;
  });
  if (scalar !== '') draft.addArguments(scalar === 'null' ? '{}' : scalar);
  if (outcome === 'whole') return undefined;
  return outcome === 'cut' ? cutOff : noJson;
}

export interface JsonCallsOptions extends JsonCallOptions {
  /** Coded markers that may end the calls. */
  closers: readonly string[];
  /** Coded markers that begin other calls: a damaged one ends there. */
  openers: readonly string[];
}

/**
 * Reads calls one after the other, or a list of them. `begun` has been taken already: where no call follows it is text.
 * Ends behind a closer, or where something else comes.
 */
export function* jsonCalls(source: Source, begun: string, options: JsonCallsOptions): Reading<void> {
  const { reader, answer } = source;
  let prefix = begun;
  let isList = false;
  reader.record(true);
  for (;;) {
    yield* reader.skipSpace();
    const isFirst = prefix !== '';
    if (!isFirst && (yield* reader.take(options.closers)) !== undefined) break;
    const next = yield* reader.peek();
    if (next === '{') {
      const outcome = yield* jsonCall(source, options);
      const read = reader.record(true);
      if (outcome === 'none') {
        answer.addText(prefix + read);
        break;
      }
      prefix = '';
      if (outcome === 'whole') continue;
      yield* damagedRest(source, outcome.damaged, options);
      break;
    }
    const isPunctuation = isFirst ? next === '[' && !isList : isList ? /[,\]]/.test(next) : /[,;]/.test(next);
    if (next === '' || !isPunctuation) {
      if (isFirst) answer.addText(prefix + reader.record(false));
      break;
    }
    yield* reader.next();
    if (isFirst) isList = true;
    else if (next === ']') isList = false;
  }
  reader.record(false);
}

/** What follows a damaged call, up to its end, is part of it. */
export function* damagedRest(
  { reader, answer }: Source,
  fault: string,
  { closers, openers }: Pick<JsonCallsOptions, 'closers' | 'openers'>,
): Reading<void> {
  yield* reader.before([...closers, ...openers], (text) => answer.addArguments(text));
  yield* reader.take(closers);
  answer.endCall(fault);
}
