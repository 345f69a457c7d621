/** Equality, order and membership, as Python has them. */
import type { Budget } from './budget.js';
import { typeError } from './failure.js';
import { Text } from './text.js';
import {
  Dict,
  iterate,
  List,
  Namespace,
  numberOf,
  Range,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js';

export function equal(left: Value, right: Value, budget: Budget, depth = 0): boolean {
  budget.step();
  budget.nested(depth);
  if (left instanceof Text) {
    if (!(right instanceof Text) || left.value.length !== right.value.length) return false;
    budget.step(left.value.length >> 6);
    return left.value === right.value;
  }
  const [a, b] = [numberOf(left), numberOf(right)];
  // biome-ignore lint/suspicious/noDoubleEquals: an integer and a float of equal size are equal.
  if (a !== undefined && b !== undefined) return a == b;
  if (left === right) return true;
  if (!(left instanceof Thing && right instanceof Thing)) return false;
  if (left instanceof Undefined) return right instanceof Undefined;
  if (left instanceof Dict) return right instanceof Dict && equalDicts(left, right, budget, depth);
  if (left instanceof List)
    return right instanceof List && equalItems(left.items, right.items, budget, depth);
  if (left instanceof Tuple) {
    return right instanceof Tuple && equalItems(left.items, right.items, budget, depth);
  }
  if (left instanceof Range) {
    return right instanceof Range && equalItems(left.items, right.items, budget, depth);
  }
  if (left instanceof View && left.typeName !== 'dict_values') {
    return right instanceof View && left.typeName === right.typeName && equalSets(left, right, budget);
  }
  return false;
}

function equalItems(left: readonly Value[], right: readonly Value[], budget: Budget, depth: number): boolean {
  return left.length === right.length && left.every((item, i) => equal(item, right[i]!, budget, depth + 1));
}

function equalDicts(left: Dict, right: Dict, budget: Budget, depth: number): boolean {
  return (
    left.size === right.size &&
    left.entries.every(([key, item]) => {
      const other = right.get(key);
      return other !== undefined && equal(item, other, budget, depth + 1);
    })
  );
}

function equalSets(left: View, right: View, budget: Budget): boolean {
  return (
    left.items.length === right.items.length &&
    left.items.every((item) => right.items.some((other) => equal(item, other, budget, 1)))
  );
}

/** By code points. */
export function compareText(left: string, right: string): number {
  const shorter = Math.min(left.length, right.length);
  for (let i = 0; i < shorter; ++i) {
    const [a, b] = [left.charCodeAt(i), right.charCodeAt(i)];
    if (a === b) continue;
    const isHalf = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;
    // A surrogate stands for a character beyond U+FFFF, above all others.
    if (isHalf(a) !== isHalf(b)) return isHalf(a) ? 1 : -1;
    return a - b;
  }
  return left.length - right.length;
}

export type Order = '<' | '<=' | '>' | '>=';

function holds(sign: number, order: Order): boolean {
  switch (order) {
    case '<':
      return sign < 0;
    case '<=':
      return sign <= 0;
    case '>':
      return sign > 0;
    case '>=':
      return sign >= 0;
  }
}

export function ordered(left: Value, order: Order, right: Value, budget: Budget): boolean {
  budget.step();
  if (left instanceof Undefined) throw left.fail();
  if (right instanceof Undefined) throw right.fail();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) {
    if (Number.isNaN(a) || Number.isNaN(b)) return false;
    return holds(a < b ? -1 : a > b ? 1 : 0, order);
  }
  if (left instanceof Text && right instanceof Text)
    return holds(compareText(left.value, right.value), order);
  const lists = left instanceof List && right instanceof List;
  const tuples = left instanceof Tuple && right instanceof Tuple;
  if (lists || tuples) {
    const at = left.items.findIndex((item, i) => {
      const other = right.items[i];
      return other === undefined || !equal(item, other, budget, 1);
    });
    const [first, second] = [left.items[at], right.items[at]];
    if (at >= 0 && first !== undefined && second !== undefined) return ordered(first, order, second, budget);
    return holds(left.items.length - right.items.length, order);
  }
  throw typeError(
    `'${order}' not supported between instances of '${typeName(left)}' and '${typeName(right)}'`,
  );
}

function inRange(range: Range, item: Value): boolean {
  const number = numberOf(item);
  if (number === undefined || !Number.isInteger(Number(number))) return false;
  const away = BigInt(number) - range.start;
  const place = away / range.step;
  return away % range.step === 0n && place >= 0n && place < BigInt(range.length);
}

/** Finding a long key takes as long as reading it. */
export function chargeKey(key: Value, budget: Budget): void {
  if (key instanceof Text) budget.step(key.value.length >> 6);
}

/** item in container */
export function contains(container: Value, item: Value, budget: Budget): boolean {
  if (container instanceof Text) {
    if (item instanceof Undefined || !(item instanceof Text)) {
      throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    }
    budget.step(1 + (container.value.length >> 8));
    return container.value.includes(item.value);
  }
  if (container instanceof Dict) {
    chargeKey(item, budget);
    return container.has(item);
  }
  if (!(container instanceof Thing) || container instanceof Namespace) {
    throw typeError(`argument of type '${typeName(container)}' is not iterable`);
  }
  if (container instanceof Range) return inRange(container, item);
  return iterate(container, budget).some((one) => one === item || equal(one, item, budget, 1));
}
