/**
 * A conversation as values of the template language: what `transformers` hands to a template, each string marked as
 * content. Fields that are null are absent, and reasoning has all the names that templates know for it. Refuses what is no
 * plain data, and roles that the caller does not trust.
 */
import { KvasirError } from '../errors.js';
import { Text } from './text.js';
import { Dict, List, type Value } from './values.js';

const deepest = 100;

/** Half a character becomes U+FFFD. */
function wellFormed(text: string): string {
  return text.replace(/[\uD800-\uDFFF]/gu, '\uFFFD');
}

function refused(where: string, problem: string): KvasirError {
  return new KvasirError('INVALID_OPTION', `${where} ${problem}.`);
}

/** Plain data as a value. `where` names it in errors. Throws INVALID_OPTION. */
export function contentValue(data: unknown, where: string, depth = 0): Value {
  if (depth > deepest) throw refused(where, `is nested more than ${deepest} deep, or holds itself`);
  switch (typeof data) {
    case 'string':
      return Text.content(wellFormed(data));
    case 'boolean':
      return data;
    case 'bigint':
      return data;
    case 'number':
      return Number.isSafeInteger(data) && !Object.is(data, -0) ? BigInt(data) : data;
    case 'undefined':
      return null;
    case 'object':
      break;
    default:
      throw refused(where, `holds a ${typeof data}, which no template can read`);
  }
  if (data === null) return null;
  if ('toJSON' in data && typeof data.toJSON === 'function') {
    return contentValue(data.toJSON(), where, depth + 1);
  }
  if (Array.isArray(data)) return new List(data.map((item) => contentValue(item, where, depth + 1)));
  const entries = Object.entries(data).filter(([, value]) => value !== undefined);
  return new Dict(
    entries.map(([key, value]): [Value, Value] => [
      Text.content(wellFormed(key)),
      contentValue(value, where, depth + 1),
    ]),
  );
}

/** First the one that templates read. */
const reasoningNames = ['reasoning_content', 'thinking', 'reasoning'];

type Fields = Readonly<Record<string, unknown>>;

/** Fields without null, reasoning under all its names. */
function readableFields(message: Fields): [string, unknown][] {
  const given = Object.entries(message).filter(([, value]) => value !== null && value !== undefined);
  const fields = new Map(given);
  const reasoning = reasoningNames.map((name) => fields.get(name)).find((value) => value !== undefined);
  if (reasoning === undefined) return given;
  return [...new Map<string, unknown>([['thinking', reasoning], ...given, ['reasoning_content', reasoning]])];
}

/** Its role has been checked. Throws INVALID_OPTION. */
export function messageValue(message: Fields, index: number): Dict {
  const where = `messages: entry ${index}`;
  const entries = readableFields(message).map(([name, data]): [Value, Value] => {
    // A role is one of the words that the caller has checked, and templates make control tokens of it.
    const value = name === 'role' ? Text.of(data as string) : contentValue(data, where);
    if (name === 'content' && value instanceof List) value.isParts = true;
    return [Text.of(name), value];
  });
  const dict = new Dict(entries);
  dict.reads = new Set();
  return dict;
}
