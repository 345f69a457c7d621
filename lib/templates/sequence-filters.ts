/** Filters of sequences and mappings. */
import { operate } from './arithmetic.js';
import { ordered } from './comparing.js';
import { typeError, unsupported } from './failure.js';
import {
  anyArguments,
  attributeGetter,
  attributesGetter,
  caseless,
  type FilterCall,
  type FilterTable,
  filter,
  filterArgumentError,
  flag,
  whole,
} from './filter.js';
import { toText } from './printing.js';
import { textArgument } from './signature.js';
import { Text } from './text.js';
import {
  Dict,
  isTrue,
  iterate,
  keyOf,
  lengthOf,
  List,
  Once,
  orElse,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** What is false has no items for map, select and their kin, whether it can be gone through or not. */
function eachIfTrue(call: FilterCall): readonly Value[] {
  return isTrue(call.value) ? each(call) : [];
}

function each({ value, runtime }: FilterCall): readonly Value[] {
  const items = iterate(value, runtime.budget);
  runtime.budget.step(items.length);
  return items;
}

/** Stable; ascending, or descending. */
function sorted(
  call: FilterCall,
  items: readonly Value[],
  key: (item: Value) => Value,
  reverse: boolean,
): Value[] {
  const { budget } = call.runtime;
  const keyed = items.map((item) => ({ item, key: key(item) }));
  const sign = reverse ? -1 : 1;
  keyed.sort((a, b) => {
    if (ordered(a.key, '<', b.key, budget)) return -sign;
    return ordered(b.key, '<', a.key, budget) ? sign : 0;
  });
  return keyed.map(({ item }) => item);
}

function sort(call: FilterCall): Value {
  const [reverse, caseSensitive, attribute] = call.found;
  const key = attributesGetter(attribute, call.runtime, caseless(caseSensitive));
  return new List(sorted(call, each(call), key, flag(reverse)));
}

function dictSort(call: FilterCall): Value {
  const [caseSensitive, by, reverse] = call.found;
  if (!(call.value instanceof Dict))
    throw typeError(`'${typeName(call.value)}' object has no attribute 'items'`);
  const side = by === undefined ? 'key' : textArgument(by, 'dictsort').value;
  if (side !== 'key' && side !== 'value')
    throw filterArgumentError('You can only sort by either "key" or "value"');
  const fold = caseless(caseSensitive);
  const pairs = call.value.entries.map((entry) => new Tuple(entry));
  const key = (pair: Value): Value => fold((pair as Tuple).items[side === 'key' ? 0 : 1]!);
  return new List(sorted(call, pairs, key, flag(reverse)));
}

function extreme(order: '<' | '>'): (call: FilterCall) => Value {
  return (call) => {
    const [caseSensitive, attribute] = call.found;
    const items = each(call);
    if (items.length === 0) return new Undefined('No aggregated item, sequence was empty.');
    const fold = caseless(caseSensitive);
    const get = attributeGetter(attribute, call.runtime);
    let best: Value = items[0]!;
    let bestKey = fold(get(best));
    for (const item of items.slice(1)) {
      const key = fold(get(item));
      if (!ordered(key, order, bestKey, call.runtime.budget)) continue;
      best = item;
      bestKey = key;
    }
    return best;
  };
}

function groupBy(call: FilterCall): Value {
  const [attribute, absent, caseSensitive] = call.found;
  const fold = caseless(caseSensitive);
  const get = attributeGetter(attribute, call.runtime, absent);
  const key = (item: Value): Value => fold(get(item));
  const groups: { key: Value; items: Value[] }[] = [];
  const { budget } = call.runtime;
  for (const item of sorted(call, each(call), key, false)) {
    const own = key(item);
    const last = groups.at(-1);
    const isSame = last !== undefined && !ordered(last.key, '<', own, budget);
    if (isSame) last.items.push(item);
    else groups.push({ key: own, items: [item] });
  }
  // The group is named as its first item spells it.
  const names = ['grouper', 'list'];
  return new List(groups.map(({ items }) => new Tuple([get(items[0]!), new List(items)], names)));
}

function unique(call: FilterCall): Value {
  const [caseSensitive, attribute] = call.found;
  const fold = caseless(caseSensitive);
  const get = attributeGetter(attribute, call.runtime);
  const seen = new Set<string>();
  const kept = each(call).filter((item) => {
    const key = keyOf(fold(get(item)));
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  return new Once('generator', kept);
}

function map(call: FilterCall): Value {
  const { positional, named } = call.given;
  const { runtime } = call;
  if (positional.length === 0 && named.has('attribute')) {
    const others = [...named.keys()].filter((name) => name !== 'attribute' && name !== 'default');
    if (others.length > 0) throw filterArgumentError(`Unexpected keyword argument '${others[0]}'`);
    const get = attributeGetter(named.get('attribute'), runtime, named.get('default'));
    return new Once('generator', eachIfTrue(call).map(get));
  }
  const [name, ...rest] = positional;
  if (!(name instanceof Text)) throw filterArgumentError('map requires a filter argument');
  const given = { positional: rest, named };
  return new Once(
    'generator',
    eachIfTrue(call).map((item) => runtime.filter(name.value, item, given)),
  );
}

/** select, reject, selectattr and rejectattr. */
function choose(keep: boolean, byAttribute: boolean): (call: FilterCall) => Value {
  return (call) => {
    const { runtime } = call;
    const { positional, named } = call.given;
    if (byAttribute && positional.length === 0)
      throw filterArgumentError('Missing parameter for attribute name');
    const get = byAttribute ? attributeGetter(positional[0], runtime) : (item: Value): Value => item;
    const [name, ...rest] = positional.slice(byAttribute ? 1 : 0);
    const holds = (item: Value): boolean => {
      const found = get(item);
      if (name === undefined) return isTrue(found);
      return runtime.test(textArgument(name, 'select').value, found, { positional: rest, named });
    };
    return new Once(
      'generator',
      eachIfTrue(call).filter((item) => holds(item) === keep),
    );
  };
}

function batch(call: FilterCall): Value {
  const [count, fill] = call.found;
  const size = whole(count, 0);
  call.runtime.budget.step(Math.max(0, size));
  const rows: Value[][] = [];
  for (const item of each(call)) {
    if (rows.length === 0 || rows.at(-1)!.length === size) rows.push([]);
    rows.at(-1)!.push(item);
  }
  const last = rows.at(-1);
  while (fill !== undefined && fill !== null && last !== undefined && last.length < size) last.push(fill);
  return new Once(
    'generator',
    rows.map((row) => new List(row)),
  );
}

function slices(call: FilterCall): Value {
  const [count, fill] = call.found;
  const number = whole(count, 1);
  const items = each(call);
  if (number === 0) throw typeError('slice needs at least one part');
  call.runtime.budget.step(Math.max(0, number));
  const size = Math.floor(items.length / number);
  const longer = items.length % number;
  let at = 0;
  const parts = Array.from({ length: number }, (_, i) => {
    const own = items.slice(at, at + size + (i < longer ? 1 : 0));
    at += own.length;
    const isFilled = fill !== undefined && fill !== null && i >= longer;
    return new List(isFilled ? [...own, fill] : own);
  });
  return new Once('generator', parts);
}

function join(call: FilterCall): Value {
  const { budget } = call.runtime;
  const [separator, attribute] = call.found;
  const get = attributeGetter(attribute, call.runtime);
  const between = separator === undefined ? Text.empty : toText(separator, budget);
  const pieces = each(call).flatMap((item, i) => {
    const text = toText(get(item), budget).plain();
    return i === 0 ? [text] : [between.plain(), text];
  });
  budget.text(pieces.reduce((sum, { value }) => sum + value.length, 0));
  return Text.concat(pieces);
}

function reverse(call: FilterCall): Value {
  const { value } = call;
  if (value instanceof Text) return Text.concat(value.characters().reverse()).like(value);
  const items = [...each(call)].reverse();
  if (value instanceof Once) return new List(items);
  return new Once('list_reverseiterator', items);
}

function last({ value, runtime }: FilterCall): Value {
  if (value instanceof Once) throw typeError(`'${value.typeName}' object is not reversible`);
  const items = iterate(value, runtime.budget);
  return items.length > 0 ? items.at(-1)! : new Undefined('No last item, sequence was empty.');
}

function first({ value, runtime }: FilterCall): Value {
  if (value instanceof Once) return orElse(value.take(), new Undefined('No first item, sequence was empty.'));
  const items = iterate(value, runtime.budget);
  return items.length > 0 ? items[0]! : new Undefined('No first item, sequence was empty.');
}

function items({ value }: FilterCall): Value {
  if (value instanceof Undefined) return new Once('generator', []);
  if (!(value instanceof Dict)) throw typeError('Can only get item pairs from a mapping.');
  return new Once(
    'generator',
    value.entries.map((entry) => new Tuple(entry)),
  );
}

function length({ value }: FilterCall): Value {
  const found = lengthOf(value);
  if (found === undefined) throw typeError(`object of type '${typeName(value)}' has no len()`);
  return BigInt(found);
}

function sum(call: FilterCall): Value {
  const [attribute, start] = call.found;
  const get = attributeGetter(attribute, call.runtime);
  if (start instanceof Text) throw typeError("sum() can't sum strings [use ''.join(seq) instead]");
  return each(call).reduce(
    (total: Value, item) => operate('+', total, get(item), call.runtime.budget),
    orElse(start, 0n),
  );
}

export const sequenceFilters: FilterTable = {
  batch: filter(['linecount', 'fill_with'], 1, batch),
  default: filter(['default_value', 'boolean'], 0, ({ value, found: [absent, boolean] }) =>
    value instanceof Undefined || (flag(boolean) && !isTrue(value)) ? orElse(absent, Text.empty) : value,
  ),
  dictsort: filter(['case_sensitive', 'by', 'reverse'], 0, dictSort),
  first: filter([], 0, first),
  groupby: filter(['attribute', 'default', 'case_sensitive'], 1, groupBy),
  items: filter([], 0, items),
  join: filter(['d', 'attribute'], 0, join),
  last: filter([], 0, last),
  length: filter([], 0, length),
  list: filter([], 0, (call) => new List(each(call))),
  map: anyArguments(map),
  max: filter(['case_sensitive', 'attribute'], 0, extreme('>')),
  min: filter(['case_sensitive', 'attribute'], 0, extreme('<')),
  reject: anyArguments(choose(false, false)),
  rejectattr: anyArguments(choose(false, true)),
  reverse: filter([], 0, reverse),
  select: anyArguments(choose(true, false)),
  selectattr: anyArguments(choose(true, true)),
  slice: filter(['slices', 'fill_with'], 1, slices),
  sort: filter(['reverse', 'case_sensitive', 'attribute'], 0, sort),
  sum: filter(['attribute', 'start'], 0, sum),
  unique: filter(['case_sensitive', 'attribute'], 0, unique),
  random: anyArguments(() => {
    throw unsupported("the filter 'random'");
  }),
};
