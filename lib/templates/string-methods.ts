/** Methods of str. What they cut out or put together keeps its origin. */
import type { Budget } from './budget.js';
import { capitalize, characterTests, lower, swapCase, title, upper } from './characters.js';
import { typeError, unsupported, valueError } from './failure.js';
import { pad } from './format-spec.js';
import { joinTexts, replaceText, splitLines, splitText, stripText } from './string-parts.js';
import { integerArgument, matchArguments, textArgument } from './signature.js';
import { type Lookup, strFormat } from './str-format.js';
import { Text } from './text.js';
import { type Arguments, Callable, Dict, List, Tuple, typeName, type Value } from './values.js';

interface Call {
  text: Text;
  budget: Budget;
  name: string;
}

type Found = readonly (Value | undefined)[];
type Body = (call: Call, found: Found) => Value;

interface Method {
  names: readonly string[];
  required: number;
  body: Body;
}

const method = (names: readonly string[], required: number, body: Body): Method => ({
  names,
  required,
  body,
});

const whole = (rewrite: (text: Text) => Text): Method =>
  method([], 0, ({ text }) => rewrite(text).like(text));

function strip(from: boolean, to: boolean): Method {
  return method(['/chars'], 0, ({ text, name }, [chars]) => {
    const given = chars === undefined || chars === null ? undefined : textArgument(chars, name);
    return stripText(text, given, from, to).like(text);
  });
}

function split(fromRight: boolean): Method {
  return method(['sep', 'maxsplit'], 0, ({ text, budget, name }, [sep, most]) => {
    const separator = sep === undefined || sep === null ? undefined : textArgument(sep, name);
    const limit = most === undefined ? -1 : integerArgument(most);
    return new List(splitText(text, separator, limit, fromRight, budget));
  });
}

/** UTF-16 offsets of the part that `start` and `end` leave; undefined: `start` is beyond the end. */
function window(text: Text, start: Value | undefined, end: Value | undefined): [number, number] | undefined {
  const { length } = text;
  const place = (value: Value | undefined, absent: number): number => {
    if (value === undefined || value === null) return absent;
    const point = integerArgument(value);
    return point < 0 ? Math.max(0, point + length) : point;
  };
  const from = place(start, 0);
  const to = Math.min(place(end, length), length);
  return from > length || from > to ? undefined : [text.offset(from), text.offset(to)];
}

/** Code point where it is found, -1: nowhere. */
function search(call: Call, [sub, start, end]: Found, last: boolean): number {
  const wanted = textArgument(sub!, call.name).value;
  call.budget.step(1 + (call.text.value.length >> 8));
  const bounds = window(call.text, start, end);
  if (bounds === undefined) return -1;
  const [from, to] = bounds;
  const part = call.text.value.slice(from, to);
  const at = last ? part.lastIndexOf(wanted) : part.indexOf(wanted);
  return at < 0 ? -1 : call.text.point(from + at);
}

function find(last: boolean, mustBeThere: boolean): Method {
  return method(['/sub', '/start', '/end'], 1, (call, found) => {
    const at = search(call, found, last);
    if (at < 0 && mustBeThere) throw valueError('substring not found');
    return BigInt(at);
  });
}

function affix(atEnd: boolean): Method {
  return method(['/prefix', '/start', '/end'], 1, ({ text, name }, [given, start, end]) => {
    const wanted = given instanceof Tuple ? given.items : [given!];
    const bounds = window(text, start, end);
    const part = bounds && text.value.slice(bounds[0], bounds[1]);
    return wanted.some((one) => {
      if (!(one instanceof Text)) {
        throw typeError(`${name} first arg must be str or a tuple of str, not ${typeName(one)}`);
      }
      return part !== undefined && (atEnd ? part.endsWith(one.value) : part.startsWith(one.value));
    });
  });
}

function justify(align: '<' | '>' | '^'): Method {
  return method(['/width', '/fillchar'], 1, ({ text, budget, name }, [width, fill]) => {
    const filling = fill === undefined ? ' ' : textArgument(fill, name).value;
    if ([...filling].length !== 1) throw typeError('The fill character must be exactly one character long');
    const room = integerArgument(width!);
    budget.text(Math.max(room, 0));
    if (align !== '^') return pad(text, { fill: filling, align, width: room }, '<').like(text);
    return center(text, room, filling).like(text);
  });
}

/** The odd one goes to the left when the width is odd. */
export function center(text: Text, width: number, fill = ' '): Text {
  const missing = width - text.length;
  if (missing <= 0) return text;
  const left = Math.floor(missing / 2) + (missing & width & 1);
  return Text.concat([Text.of(fill.repeat(left)), text, Text.of(fill.repeat(missing - left))]);
}

function partition(last: boolean): Method {
  return method(['/sep'], 1, ({ text, name }, [sep]) => {
    const separator = textArgument(sep!, name);
    if (separator.value === '') throw valueError('empty separator');
    const at = last ? text.value.lastIndexOf(separator.value) : text.value.indexOf(separator.value);
    const nothing = Text.empty;
    if (at < 0) return new Tuple(last ? [nothing, nothing, text] : [text, nothing, nothing]);
    const end = at + separator.value.length;
    return new Tuple([text.cut(0, at), text.cut(at, end), text.cut(end)]);
  });
}

function countText({ text, budget, name }: Call, [sub, start, end]: Found): Value {
  const wanted = textArgument(sub!, name).value;
  const bounds = window(text, start, end);
  if (bounds === undefined) return 0n;
  const part = text.value.slice(bounds[0], bounds[1]);
  budget.step(1 + (part.length >> 4));
  if (wanted === '') return BigInt([...part].length + 1);
  return BigInt(part.split(wanted).length - 1);
}

function zfill({ text, budget }: Call, [width]: Found): Value {
  const missing = integerArgument(width!) - text.length;
  if (missing <= 0) return text;
  budget.text(missing);
  const sign = /^[+-]/.test(text.value) ? 1 : 0;
  return Text.concat([text.cut(0, sign), Text.of('0'.repeat(missing)), text.cut(sign)]);
}

function expandTabs({ text, budget }: Call, [size]: Found): Value {
  const width = size === undefined ? 8 : integerArgument(size);
  const pieces: Text[] = [];
  let column = 0;
  for (const character of text.characters()) {
    budget.step();
    if (character.value === '\t') {
      const count = width > 0 ? width - (column % width) : 0;
      budget.text(count);
      pieces.push(character.spelled(' '.repeat(count)));
      column += count;
    } else {
      pieces.push(character);
      column = /[\n\r]/.test(character.value) ? 0 : column + 1;
    }
  }
  return Text.concat(pieces);
}

function replace({ text, budget, name }: Call, [old, fresh, count]: Found): Value {
  const limit = count === undefined ? -1 : integerArgument(count);
  return replaceText(text, textArgument(old!, name), textArgument(fresh!, name), limit, budget).like(text);
}

const methods: Readonly<Record<string, Method>> = {
  capitalize: whole(capitalize),
  casefold: method([], 0, ({ text }) =>
    text.map((stretch) => stretch.toLowerCase().replaceAll('ß', 'ss').replaceAll('ς', 'σ')),
  ),
  center: justify('^'),
  count: method(['/sub', '/start', '/end'], 1, countText),
  endswith: affix(true),
  expandtabs: method(['tabsize'], 0, expandTabs),
  find: find(false, false),
  index: find(false, true),
  join: method(['/iterable'], 1, ({ text, budget }, [items]) => joinTexts(text, items!, budget)),
  ljust: justify('<'),
  lower: whole(lower),
  lstrip: strip(true, false),
  partition: partition(false),
  removeprefix: method(['/prefix'], 1, ({ text, name }, [prefix]) => {
    const { value } = textArgument(prefix!, name);
    return text.value.startsWith(value) ? text.cut(value.length) : text;
  }),
  removesuffix: method(['/suffix'], 1, ({ text, name }, [suffix]) => {
    const { value } = textArgument(suffix!, name);
    return text.value.endsWith(value) ? text.cut(0, text.value.length - value.length) : text;
  }),
  replace: method(['/old', '/new', '/count'], 2, replace),
  rfind: find(true, false),
  rindex: find(true, true),
  rjust: justify('>'),
  rpartition: partition(true),
  rsplit: split(true),
  rstrip: strip(false, true),
  split: split(false),
  splitlines: method(['keepends'], 0, ({ text, budget }, [keep]) => {
    return new List(splitLines(text, keep !== undefined && keep !== null && keep !== false, budget));
  }),
  startswith: affix(false),
  strip: strip(true, true),
  swapcase: whole(swapCase),
  title: whole(title),
  upper: whole(upper),
  zfill: method(['/width'], 1, zfill),
};

const refused = ['encode', 'maketrans', 'translate'];

/** undefined: str has no such method. */
export function stringMethod(text: Text, name: string, budget: Budget, lookup: Lookup): Value | undefined {
  if (Object.hasOwn(methods, name)) {
    const { names, required, body } = methods[name]!;
    return new Callable(name, (given) => {
      budget.step();
      budget.text(text.value.length);
      return body({ text, budget, name }, matchArguments(name, names, required, given));
    });
  }
  if (Object.hasOwn(characterTests, name)) {
    return new Callable(name, (given) => {
      matchArguments(name, [], 0, given);
      return characterTests[name]!(text.value);
    });
  }
  if (name === 'format') return new Callable(name, (given) => strFormat(text, given, budget, lookup));
  if (name === 'format_map') return new Callable(name, (given) => formatMap(text, given, budget, lookup));
  if (refused.includes(name)) throw unsupported(`str.${name}`);
  return undefined;
}

function formatMap(text: Text, given: Arguments, budget: Budget, lookup: Lookup): Text {
  const [mapping] = matchArguments('format_map', ['/mapping'], 1, given);
  if (!(mapping instanceof Dict)) throw typeError('format_map() argument must be a mapping');
  const named = mapping.entries.filter((entry): entry is [Text, Value] => entry[0] instanceof Text);
  return strFormat(
    text,
    { positional: [], named: new Map(named.map(([key, value]) => [key.value, value])) },
    budget,
    lookup,
  );
}
