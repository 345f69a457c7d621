/** Filters of strings and numbers. */
import { attributeOf } from './access.js';
import { capitalize, lower, titleWords, upper } from './characters.js';
import { TemplateFailure, typeError, unsupported } from './failure.js';
import {
  anyArguments,
  type FilterCall,
  type FilterTable,
  filter,
  filterArgumentError,
  flag,
  textOf,
  whole,
} from './filter.js';
import { escapeHtml, stripTags } from './html.js';
import {
  fixedText,
  parseFloatText,
  parseInteger,
  roundFloat,
  roundInteger,
  toFloat,
  truncate,
} from './numbers.js';
import { printf } from './printf.js';
import { toText } from './printing.js';
import { integerArgument, textArgument } from './signature.js';
import { center } from './string-methods.js';
import { replaceText, splitLines, splitText, stripText } from './string-parts.js';
import { Text } from './text.js';
import { jsonOptions, toJson } from './tojson.js';
import { Dict, itemsOf, numberOf, orElse, Tuple, typeName, Undefined, type Value } from './values.js';

const rewritten = (rewrite: (text: Text) => Text) =>
  filter([], 0, (call) => {
    const text = textOf(call);
    call.runtime.budget.text(text.value.length);
    return rewrite(text).like(text);
  });

function toNumber(value: Value, callee: string): bigint | number {
  if (value instanceof Undefined) throw value.fail();
  const number = numberOf(value);
  if (number === undefined) throw typeError(`bad operand type for ${callee}: '${typeName(value)}'`);
  return number;
}

function toInteger({ value, found: [absent, base] }: FilterCall): Value {
  const fallback = orElse(absent, 0n);
  if (value instanceof Undefined) throw value.fail();
  const number = numberOf(value);
  if (typeof number === 'bigint') return number;
  if (typeof number === 'number') return Number.isNaN(number) ? fallback : truncate(number);
  if (!(value instanceof Text)) return fallback;
  const integer = parseInteger(value.value, whole(base, 10));
  if (integer !== undefined) return integer;
  const float = parseFloatText(value.value);
  return float === undefined || !Number.isFinite(float) ? fallback : truncate(float);
}

function toFloating({ value, found: [absent] }: FilterCall): Value {
  if (value instanceof Undefined) throw value.fail();
  const number = numberOf(value);
  if (number !== undefined) return toFloat(number);
  const float = value instanceof Text ? parseFloatText(value.value) : undefined;
  return float ?? orElse(absent, 0);
}

function round({ value, found: [precision, method], runtime }: FilterCall): Value {
  const digits = whole(precision, 0);
  runtime.budget.bits(Math.abs(digits) * 4);
  const name = method === undefined ? 'common' : textArgument(method, 'round').value;
  if (!['common', 'ceil', 'floor'].includes(name))
    throw filterArgumentError('method must be common, ceil or floor');
  const number = toNumber(value, 'round()');
  if (name === 'common') {
    return typeof number === 'bigint' ? roundInteger(number, digits) : roundFloat(number, digits);
  }
  const unit = digits >= 0 ? 10 ** digits : 1 / 10 ** -digits;
  const scaled = toFloat(number) * unit;
  return (name === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled)) / unit;
}

function indent(call: FilterCall): Value {
  const [width, first, blank] = call.found;
  const { budget } = call.runtime;
  const text = textOf(call);
  const space =
    width instanceof Text ? width : Text.of(' '.repeat(Math.min(Math.max(0, whole(width, 4)), 2 ** 16)));
  const lines = splitLines(Text.concat([text, Text.of('\n')]), false, budget);
  budget.text(text.value.length + lines.length * space.value.length);
  const newline = Text.of('\n');
  const pieces = lines.flatMap((line, i) => {
    if (i === 0) return [line];
    return line.value !== '' || flag(blank) ? [newline, space, line] : [newline, line];
  });
  return Text.concat(flag(first) ? [space, ...pieces] : pieces).like(text);
}

function truncateText(call: FilterCall): Value {
  const text = textOf(call);
  const [length, killWords, end, leeway] = call.found;
  const most = whole(length, 255);
  const tail = end === undefined ? Text.of('...') : textArgument(end, 'truncate');
  const slack = leeway === undefined || leeway === null ? 5 : integerArgument(leeway);
  if (most < tail.length) {
    throw new TemplateFailure('AssertionError', `expected length >= ${tail.length}, got ${most}`);
  }
  if (text.length <= most + slack) return text;
  const cut = text.slice(0, most - tail.length);
  if (flag(killWords)) return Text.concat([cut, tail]);
  return Text.concat([splitText(cut, Text.of(' '), 1, true, call.runtime.budget)[0]!, tail]);
}

function fileSize({ value, found: [binary] }: FilterCall): Value {
  const isBinary = flag(binary);
  const parsed = value instanceof Text ? parseFloatText(value.value) : undefined;
  const bytes = parsed ?? toFloat(toNumber(value, 'float()'));
  const base = isBinary ? 1024 : 1000;
  const prefixes = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'].map((prefix) =>
    isBinary ? `${prefix.toUpperCase()}iB` : `${prefix}B`,
  );
  if (bytes === 1) return Text.of('1 Byte');
  if (bytes < base) return Text.of(`${Math.trunc(bytes)} Bytes`);
  let unit = base;
  for (const prefix of prefixes) {
    unit *= base;
    if (bytes < unit) return Text.of(`${fixedText((base * bytes) / unit, 1)} ${prefix}`);
  }
  return Text.of(`${fixedText((base * bytes) / unit, 1)} ${prefixes.at(-1)}`);
}

const utf8 = new TextEncoder();

function quoteUrl(text: Text, inQuery: boolean): Text {
  const safe = inQuery ? /^[\w.~-]$/ : /^[\w.~/-]$/;
  return text.map((stretch) => {
    let result = '';
    for (const character of stretch) {
      if (safe.test(character)) result += character;
      else if (inQuery && character === ' ') result += '+';
      else {
        for (const byte of utf8.encode(character)) {
          result += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
        }
      }
    }
    return result;
  });
}

function urlEncode(call: FilterCall): Value {
  const { value, runtime } = call;
  runtime.budget.step();
  const pairs =
    value instanceof Dict
      ? value.entries.map((entry) => new Tuple(entry))
      : value instanceof Text
        ? undefined
        : itemsOf(value);
  if (pairs === undefined) {
    const text = textOf(call);
    runtime.budget.text(text.value.length * 3);
    return quoteUrl(text, false);
  }
  const pieces = pairs.flatMap((pair, i) => {
    const items = pair instanceof Text ? undefined : itemsOf(pair);
    if (items?.length !== 2) throw typeError('urlencode takes a string or pairs');
    const [key, item] = items.map((one) => quoteUrl(toText(one, runtime.budget), true));
    const own = [key!, Text.of('='), item!];
    return i === 0 ? own : [Text.of('&'), ...own];
  });
  return Text.concat(pieces);
}

function formatWith(call: FilterCall): Value {
  const { positional, named } = call.given;
  if (positional.length > 0 && named.size > 0) {
    throw filterArgumentError("can't handle positional and keyword arguments at the same time");
  }
  const entries = [...named].map(([name, value]): [Value, Value] => [Text.of(name), value]);
  return printf(
    textOf(call),
    named.size > 0 ? new Dict(entries) : new Tuple(positional),
    call.runtime.budget,
  );
}

const refused = (name: string) =>
  anyArguments(() => {
    throw unsupported(`the filter '${name}'`);
  });

export const textFilters: FilterTable = {
  abs: filter([], 0, ({ value }) => {
    const number = toNumber(value, 'abs()');
    return number < 0 ? -number : number === 0 && typeof number === 'number' ? 0 : number;
  }),
  attr: filter(['name'], 1, ({ value, found: [name], runtime }) => {
    if (value instanceof Undefined) throw value.fail();
    const text = toText(name!, runtime.budget).value;
    return orElse(
      attributeOf(value, text, runtime.budget),
      new Undefined(`'${typeName(value)} object' has no attribute '${text}'`),
    );
  }),
  capitalize: rewritten(capitalize),
  center: filter(['width'], 0, (call) => {
    const width = whole(call.found[0], 80);
    call.runtime.budget.text(Math.max(0, width));
    return center(textOf(call), width);
  }),
  escape: filter([], 0, (call) => escapeHtml(textOf(call), call.runtime.budget)),
  filesizeformat: filter(['binary'], 0, fileSize),
  float: filter(['default'], 0, toFloating),
  forceescape: filter([], 0, (call) => escapeHtml(textOf(call).plain(), call.runtime.budget)),
  format: anyArguments(formatWith),
  indent: filter(['width', 'first', 'blank'], 0, indent),
  int: filter(['default', 'base'], 0, toInteger),
  lower: rewritten(lower),
  replace: filter(['old', 'new', 'count'], 2, (call) => {
    const [old, fresh, count] = call.found;
    const { budget } = call.runtime;
    const limit = count === undefined || count === null ? -1 : integerArgument(count);
    return replaceText(textOf(call), toText(old!, budget), toText(fresh!, budget), limit, budget);
  }),
  round: filter(['precision', 'method'], 0, round),
  safe: filter([], 0, (call) => textOf(call).asMarkup()),
  string: filter([], 0, textOf),
  striptags: filter([], 0, (call) => {
    call.runtime.budget.text(textOf(call).value.length);
    return stripTags(textOf(call));
  }),
  title: rewritten(titleWords),
  tojson: filter(
    ['ensure_ascii', 'indent', 'separators', 'sort_keys'],
    0,
    ({ value, found: [ascii, indent, separators, sort], runtime }) =>
      toJson(
        value,
        jsonOptions(
          orElse(ascii, false),
          orElse(indent, null),
          orElse(separators, null),
          orElse(sort, false),
        ),
        runtime.budget,
      ),
  ),
  trim: filter(['chars'], 0, (call) => {
    const [chars] = call.found;
    const given = chars === undefined || chars === null ? undefined : textArgument(chars, 'strip');
    const text = textOf(call);
    call.runtime.budget.text(text.value.length);
    return stripText(text, given, true, true).like(text);
  }),
  truncate: filter(['length', 'killwords', 'end', 'leeway'], 0, truncateText),
  upper: rewritten(upper),
  urlencode: filter([], 0, urlEncode),
  wordcount: filter([], 0, (call) => {
    const { value } = textOf(call);
    call.runtime.budget.step(1 + (value.length >> 3));
    return BigInt(value.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0);
  }),
  pprint: refused('pprint'),
  urlize: refused('urlize'),
  wordwrap: refused('wordwrap'),
  xmlattr: refused('xmlattr'),
};
