/** Arguments of calls matched to names, with Python's errors. */
import { typeError } from './failure.js';
import { Text } from './text.js';
import { type Arguments, numberOf, typeName, Undefined, type Value } from './values.js';

/**
 * Arguments in the order of `names`; undefined where none is given. The first `required` must be. Names that begin with
 * `/` can only be given by place.
 */
export function matchArguments(
  callee: string,
  names: readonly string[],
  required: number,
  { positional, named }: Arguments,
): (Value | undefined)[] {
  if (positional.length > names.length) {
    throw typeError(
      `${callee}() takes ${names.length === required ? names.length : `at most ${names.length}`} ` +
        `argument${names.length === 1 ? '' : 's'} (${positional.length} given)`,
    );
  }
  const found: (Value | undefined)[] = names.map((_, i) => positional[i]);
  for (const [name, value] of named) {
    const at = names.indexOf(name);
    if (at < 0) throw typeError(`${callee}() got an unexpected keyword argument '${name}'`);
    if (found[at] !== undefined) throw typeError(`${callee}() got multiple values for argument '${name}'`);
    found[at] = value;
  }
  const missing = found.findIndex((value, i) => value === undefined && i < required);
  if (missing >= 0) {
    throw typeError(`${callee}() missing required argument: '${names[missing]!.replace('/', '')}'`);
  }
  return found;
}

/** An integer, or a bool as one. */
export function integerArgument(value: Value): number {
  if (value instanceof Undefined) throw value.fail();
  const number = numberOf(value);
  if (typeof number === 'bigint') {
    const limit = BigInt(Number.MAX_SAFE_INTEGER);
    return Number(number > limit ? limit : number < -limit ? -limit : number);
  }
  throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`);
}

export function textArgument(value: Value, callee: string): Text {
  if (value instanceof Text) return value;
  if (value instanceof Undefined) throw value.fail();
  throw typeError(`${callee}() argument must be str, not ${typeName(value)}`);
}
