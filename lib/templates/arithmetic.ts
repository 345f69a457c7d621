/** Operators on values, as Python has them. */
import type { Budget } from './budget.js';
import { TemplateFailure, typeError, unsupported } from './failure.js';
import { escapeHtml } from './html.js';
import { toFloat } from './numbers.js';
import { printf } from './printf.js';
import { toText } from './printing.js';
import { Text } from './text.js';
import { List, numberOf, Tuple, typeName, Undefined, type Value } from './values.js';

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**';

type Scalar = bigint | number;

export function operate(operator: BinaryOperator, left: Value, right: Value, budget: Budget): Value {
  if (left instanceof Undefined) throw left.fail();
  if (operator === '%' && left instanceof Text) return printf(left, right, budget);
  if (right instanceof Undefined) throw right.fail();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) return calculate(operator, a, b, budget);
  if (operator === '+') {
    const sum = join(left, right, budget);
    if (sum !== undefined) return sum;
  }
  if (operator === '*') {
    const product = repeat(left, b, budget) ?? repeat(right, a, budget);
    if (product !== undefined) return product;
  }
  throw typeError(
    operator === '+' && left instanceof Text
      ? `can only concatenate str (not "${typeName(right)}") to str`
      : `unsupported operand type(s) for ${operator === '**' ? '** or pow()' : operator}: ` +
          `'${typeName(left)}' and '${typeName(right)}'`,
  );
}

function join(left: Value, right: Value, budget: Budget): Value | undefined {
  if (left instanceof Text && right instanceof Text) {
    budget.text(left.value.length + right.value.length);
    if (!left.markup && !right.markup) return Text.concat([left, right]);
    return Text.concat([escapeHtml(left, budget), escapeHtml(right, budget)]).asMarkup();
  }
  const lists = left instanceof List && right instanceof List;
  const tuples = left instanceof Tuple && right instanceof Tuple;
  if (!lists && !tuples) return undefined;
  const items = [...left.items, ...right.items];
  // Copying an item is far less than a step.
  budget.step(1 + (items.length >> 3));
  return lists ? new List(items) : new Tuple(items);
}

function repeat(value: Value, count: Scalar | undefined, budget: Budget): Value | undefined {
  if (typeof count !== 'bigint') return undefined;
  const times = count > 0n ? Number(count) : 0;
  if (value instanceof Text) {
    if (times === 0) return Text.empty;
    budget.text(value.value.length * times);
    budget.step(value.value === '' ? 1 : times);
    if (value.value === '') return value;
    return Text.concat(Array.from({ length: times }, () => value)).like(value);
  }
  if (!(value instanceof List || value instanceof Tuple)) return undefined;
  budget.step(1 + value.items.length * times);
  const items = value.items.length === 0 ? [] : Array.from({ length: times }, () => value.items).flat();
  return value instanceof List ? new List(items) : new Tuple(items);
}

function divisionByZero(message: string): TemplateFailure {
  return new TemplateFailure('ZeroDivisionError', message);
}

function calculate(operator: BinaryOperator, a: Scalar, b: Scalar, budget: Budget): Scalar {
  if (typeof a === 'bigint' && typeof b === 'bigint') {
    const result = integers(operator, a, b, budget);
    if (typeof result === 'bigint' && (result > 2n ** 64n || result < -(2n ** 64n))) {
      budget.bits(result.toString(16).length * 4);
    }
    return result;
  }
  return floats(operator, toFloat(a), toFloat(b));
}

function integers(operator: BinaryOperator, a: bigint, b: bigint, budget: Budget): Scalar {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      if (b === 0n) throw divisionByZero('division by zero');
      return divideIntegers(a, b);
    case '//':
      if (b === 0n) throw divisionByZero('integer division or modulo by zero');
      return (a - floorModulo(a, b)) / b;
    case '%':
      if (b === 0n) throw divisionByZero('integer modulo by zero');
      return floorModulo(a, b);
    case '**': {
      if (b < 0n) return floats('**', toFloat(a), toFloat(b));
      const size = BigInt(a.toString(2).length);
      if (a > 1n || a < -1n) budget.bits(size * b);
      // 0, 1 and -1: the exponent may be of any size.
      else return a === -1n && b % 2n === 0n ? 1n : b === 0n ? 1n : a;
      return a ** b;
    }
  }
}

function floorModulo(a: bigint, b: bigint): bigint {
  const rest = a % b;
  return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest;
}

/** Of integers of any size: the quotient is rounded once where both are exact as floats. */
function divideIntegers(a: bigint, b: bigint): number {
  const [x, y] = [Number(a), Number(b)];
  if (Number.isFinite(x) && Number.isFinite(y)) return x / y;
  // Both lose the same power of two.
  const digits = Math.max(a.toString(2).length, b.toString(2).length) - 1000;
  const quotient = Number(a >> BigInt(digits)) / Number(b >> BigInt(digits));
  if (Number.isFinite(quotient)) return quotient;
  throw new TemplateFailure('OverflowError', 'integer division result too large for a float');
}

function floats(operator: BinaryOperator, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      if (b === 0) throw divisionByZero('float division by zero');
      return a / b;
    case '//':
      if (b === 0) throw divisionByZero('float floor division by zero');
      return floorDivide(a, b);
    case '%':
      if (b === 0) throw divisionByZero('float modulo');
      return floatModulo(a, b);
    case '**':
      return power(a, b);
  }
}

function floatModulo(a: number, b: number): number {
  const rest = a % b;
  if (rest === 0) return b < 0 ? -0 : 0;
  return rest < 0 !== b < 0 ? rest + b : rest;
}

function floorDivide(a: number, b: number): number {
  const quotient = (a - floatModulo(a, b)) / b;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function power(a: number, b: number): number {
  if (a === 0 && b < 0) throw divisionByZero('0.0 cannot be raised to a negative power');
  if (a === 1 || b === 0) return 1;
  if (a < 0 && Number.isFinite(a) && Number.isFinite(b) && !Number.isInteger(b)) {
    throw unsupported('a complex number');
  }
  const result = a ** b;
  if (!Number.isFinite(result) && Number.isFinite(a) && Number.isFinite(b)) {
    throw new TemplateFailure('OverflowError', "(34, 'Numerical result out of range')");
  }
  return result;
}

export function negate(value: Value): Value {
  const number = numeric(value, '-');
  return -number;
}

export function numeric(value: Value, sign: '+' | '-'): bigint | number {
  if (value instanceof Undefined) throw value.fail();
  const number = numberOf(value);
  if (number === undefined) throw typeError(`bad operand type for unary ${sign}: '${typeName(value)}'`);
  return number;
}

/** left ~ right ~ ... */
export function concatenate(values: readonly Value[], budget: Budget): Text {
  const texts = values.map((value) => toText(value, budget));
  budget.text(texts.reduce((sum, { value }) => sum + value.length, 0));
  return Text.concat(texts);
}
