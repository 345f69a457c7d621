/** `value.name`, `value[key]` and slices, as the reference's sandbox gives them. */
import type { Budget } from './budget.js';
import { chargeKey } from './comparing.js';
import { containerMethod } from './container-methods.js';
import { valueError } from './failure.js';
import { repr } from './printing.js';
import { stringMethod } from './string-methods.js';
import { Text } from './text.js';
import {
  Dict,
  List,
  numberOf,
  orElse,
  Range,
  Slice,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** value.name: an attribute, else an item. */
export function member(value: Value, name: string, budget: Budget): Value {
  if (value instanceof Undefined) throw value.fail();
  const attribute = attributeOf(value, name, budget);
  if (attribute !== undefined) return attribute;
  if (value instanceof Dict) {
    const item = value.get(Text.of(name));
    if (item !== undefined) return item;
  }
  return missing(value, name);
}

/** value[key]: an item, else an attribute. */
export function subscript(value: Value, key: Value, budget: Budget): Value {
  if (value instanceof Undefined) throw value.fail();
  const item = itemOf(value, key, budget);
  if (item !== undefined) return item;
  if (key instanceof Slice) return new Undefined(`${typeName(value)} object has no slices`);
  if (!(key instanceof Text))
    return new Undefined(`${typeName(value)} object has no element ${repr(key, budget).value}`);
  return orElse(attributeOf(value, key.value, budget), missing(value, key.value));
}

function missing(value: Value, name: string): Undefined {
  return new Undefined(
    value === null
      ? `'None' has no attribute '${name}'`
      : `'${value instanceof Dict ? 'dict object' : `${typeName(value)} object`}' has no attribute '${name}'`,
  );
}

/** Without items. undefined: there is none. */
export function attributeOf(value: Value, name: string, budget: Budget): Value | undefined {
  if (/^__\w+__$/.test(name)) {
    return new Undefined(
      `access to attribute '${name}' of '${typeName(value)}' object is unsafe.`,
      'SecurityError',
    );
  }
  if (value instanceof Text) return stringMethod(value, name, budget, { member, subscript });
  if (value instanceof Thing) {
    const own = value.attribute(name);
    return own === undefined ? containerMethod(value, name, budget) : own;
  }
  const number = numberOf(value);
  if (number === undefined) return undefined;
  if (name === 'real') return number;
  if (name === 'imag') return typeof number === 'bigint' ? 0n : 0;
  if (typeof number === 'bigint' && name === 'numerator') return number;
  if (typeof number === 'bigint' && name === 'denominator') return 1n;
  return containerMethod(value, name, budget);
}

/** undefined: there is none. */
function itemOf(value: Value, key: Value, budget: Budget): Value | undefined {
  if (key instanceof Slice) return sliceOf(value, key, budget);
  if (value instanceof Dict) {
    if (key instanceof List || key instanceof Dict) return undefined;
    chargeKey(key, budget);
    return value.get(key);
  }
  const index = numberOf(key);
  if (typeof index !== 'bigint') return undefined;
  const at = (length: number): number => {
    const place = Number(index);
    return place < 0 ? place + length : place;
  };
  if (value instanceof Text) {
    const place = at(value.length);
    return place >= 0 && place < value.length ? value.slice(place, place + 1) : undefined;
  }
  if (value instanceof List || value instanceof Tuple) return value.items[at(value.items.length)];
  if (value instanceof Range) {
    const place = at(value.length);
    return place >= 0 && place < value.length ? value.at(place) : undefined;
  }
  return undefined;
}

interface Bounds {
  start: number;
  stop: number;
  step: number;
}

/** As Python bounds a slice of a sequence of this length. undefined: a bound is no integer. */
function sliceBounds({ start, stop, step }: Slice, length: number): Bounds | undefined {
  if ([start, stop, step].some((bound) => bound !== null && typeof numberOf(bound) !== 'bigint'))
    return undefined;
  const whole = (value: Value): number | undefined => {
    if (value === null) return undefined;
    const number = numberOf(value) as bigint;
    const limit = BigInt(2 ** 52);
    return Number(number > limit ? limit : number < -limit ? -limit : number);
  };
  const by = whole(step) ?? 1;
  if (by === 0) throw valueError('slice step cannot be zero');
  const [lowest, highest] = by > 0 ? [0, length] : [-1, length - 1];
  const bound = (value: number | undefined, absent: number): number => {
    if (value === undefined) return absent;
    return Math.min(Math.max(value < 0 ? value + length : value, lowest), highest);
  };
  return {
    start: bound(whole(start), by > 0 ? lowest : highest),
    stop: bound(whole(stop), by > 0 ? highest : lowest),
    step: by,
  };
}

function sliceOf(value: Value, slice: Slice, budget: Budget): Value | undefined {
  const length =
    value instanceof Text || value instanceof Range
      ? value.length
      : value instanceof List || value instanceof Tuple
        ? value.items.length
        : undefined;
  const bounds = length === undefined ? undefined : sliceBounds(slice, length);
  if (bounds === undefined) return undefined;
  const { start, stop, step } = bounds;
  if (value instanceof Range) {
    const place = (at: number): bigint => value.start + BigInt(at) * value.step;
    return new Range(place(start), place(stop), value.step * BigInt(step));
  }
  if (value instanceof Text) budget.text(Math.ceil(Math.abs(stop - start) / Math.abs(step)));
  if (value instanceof Text && step === 1) return value.slice(start, Math.max(start, stop)).like(value);
  const count = Math.max(0, Math.ceil((stop - start) / step));
  budget.step(1 + (count >> 2));
  const pick = <T>(at: (place: number) => T): T[] =>
    Array.from({ length: count }, (_, i) => at(start + i * step));
  if (value instanceof Text) return Text.concat(pick((place) => value.slice(place, place + 1))).like(value);
  const { items } = value as List | Tuple;
  const picked = pick((place) => items[place]!);
  return value instanceof List ? new List(picked) : new Tuple(picked);
}
