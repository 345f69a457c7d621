/** The tests behind `is`. */
import { operate } from './arithmetic.js';
import { characterTests } from './characters.js';
import { contains, equal, type Order, ordered } from './comparing.js';
import { TemplateFailure, typeError } from './failure.js';
import { isFilter } from './filters.js';
import { toText } from './printing.js';
import type { Runtime } from './runtime.js';
import { matchArguments } from './signature.js';
import { Text } from './text.js';
import {
  type Arguments,
  Callable,
  Dict,
  List,
  Once,
  numberOf,
  Range,
  Tuple,
  Undefined,
  type Value,
  View,
} from './values.js';

interface Test {
  names: readonly string[];
  body: (value: Value, found: readonly Value[], runtime: Runtime) => boolean;
}

const plain = (body: (value: Value) => boolean): Test => ({ names: [], body });
const against = (body: (value: Value, other: Value, runtime: Runtime) => boolean): Test => ({
  names: ['/other'],
  body: (value, [other], runtime) => body(value, other!, runtime),
});
const order = (sign: Order): Test =>
  against((value, other, { budget }) => ordered(value, sign, other, budget));

const text = (test: (text: string) => boolean): Test => ({
  names: [],
  body: (value, _found, { budget }) => test(toText(value, budget).value),
});

function remainder(value: Value, divisor: Value, { budget }: Runtime): Value {
  return operate('%', value, divisor, budget);
}

function isZero(value: Value): boolean {
  const number = numberOf(value);
  return number === 0n || number === 0;
}

function isSame(value: Value, other: Value): boolean {
  if (value instanceof Text && other instanceof Text) return value.value === other.value;
  return value === other;
}

function isIterable(value: Value): boolean {
  return isSequence(value) || value instanceof View || value instanceof Once;
}

function isSequence(value: Value): boolean {
  return (
    value instanceof Text ||
    value instanceof List ||
    value instanceof Tuple ||
    value instanceof Dict ||
    value instanceof Range ||
    value instanceof Undefined
  );
}

const eq = against((value, other, { budget }) => equal(value, other, budget));
const ne = against((value, other, { budget }) => !equal(value, other, budget));
const [lt, le, gt, ge] = [order('<'), order('<='), order('>'), order('>=')];

const table: Readonly<Record<string, Test>> = {
  boolean: plain((value) => typeof value === 'boolean'),
  callable: plain((value) => value instanceof Callable || value instanceof Undefined),
  defined: plain((value) => !(value instanceof Undefined)),
  divisibleby: against((value, other, runtime) => isZero(remainder(value, other, runtime))),
  escaped: plain((value) => value instanceof Text && value.markup),
  even: { names: [], body: (value, _found, runtime) => isZero(remainder(value, 2n, runtime)) },
  odd: {
    names: [],
    body: (value, _found, runtime) => equal(remainder(value, 2n, runtime), 1n, runtime.budget),
  },
  false: plain((value) => value === false),
  true: plain((value) => value === true),
  float: plain((value) => typeof value === 'number'),
  in: against((value, other, { budget }) => contains(other, value, budget)),
  integer: plain((value) => typeof value === 'bigint'),
  iterable: plain(isIterable),
  lower: text(characterTests.islower!),
  mapping: plain((value) => value instanceof Dict),
  none: plain((value) => value === null),
  number: plain((value) => numberOf(value) !== undefined),
  sameas: against(isSame),
  sequence: plain(isSequence),
  string: plain((value) => value instanceof Text),
  undefined: plain((value) => value instanceof Undefined),
  upper: text(characterTests.isupper!),
  filter: plain((value) => value instanceof Text && isFilter(value.value)),
  test: plain((value) => value instanceof Text && isTest(value.value)),
  eq,
  equalto: eq,
  '==': eq,
  ne,
  '!=': ne,
  lt,
  lessthan: lt,
  '<': lt,
  le,
  '<=': le,
  gt,
  greaterthan: gt,
  '>': gt,
  ge,
  '>=': ge,
};

function isTest(name: string): boolean {
  return Object.hasOwn(table, name);
}

export function applyTest(name: string, value: Value, given: Arguments, runtime: Runtime): boolean {
  if (!isTest(name)) throw new TemplateFailure('TemplateRuntimeError', `No test named '${name}'.`);
  const { names, body } = table[name]!;
  const found = matchArguments(name, names, names.length, given);
  if (found.some((one) => one === undefined)) throw typeError(`${name}() lacks an argument`);
  return body(value, found as Value[], runtime);
}
