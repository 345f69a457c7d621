/** Functions that every template may call. */
import type { Budget } from './budget.js';
import { TemplateFailure, typeError, unsupported, valueError } from './failure.js';
import { toText } from './printing.js';
import type { Runtime } from './runtime.js';
import { matchArguments, textArgument } from './signature.js';
import { checkFieldName } from './statements.js';
import { strftime } from './strftime.js';
import { Text } from './text.js';
import {
  type Arguments,
  Callable,
  Dict,
  iterate,
  Namespace,
  numberOf,
  orElse,
  Range,
  rangeLength,
  Thing,
  typeName,
  Undefined,
  type Value,
} from './values.js';

export function globalValues(runtime: Runtime): Map<string, Value> {
  const functions: Record<string, (given: Arguments) => Value> = {
    range: (given) => makeRange(given, runtime),
    dict: (given) => new Dict(pairs(given, runtime.budget)),
    namespace: (given) => makeNamespace(given, runtime.budget),
    cycler: ({ positional }) => new Cycler(positional),
    joiner: (given) => makeJoiner(given),
    raise_exception: (given) => {
      const [message] = matchArguments('raise_exception', ['message'], 1, given);
      throw new TemplateFailure('TemplateError', toText(message!, runtime.budget).value);
    },
    strftime_now: (given) => {
      const [format] = matchArguments('strftime_now', ['format'], 1, given);
      return Text.of(strftime(textArgument(format!, 'strftime').value, runtime.now));
    },
    lipsum: () => {
      throw unsupported("the function 'lipsum'");
    },
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)]));
}

function makeRange({ positional, named }: Arguments, { budget }: Runtime): Value {
  if (named.size > 0) throw typeError('range() takes no keyword arguments');
  if (positional.length < 1 || positional.length > 3) throw typeError('range expected 1 to 3 arguments');
  const bounds = positional.map((value) => {
    if (value instanceof Undefined) throw value.fail();
    const number = numberOf(value);
    if (typeof number === 'bigint') return number;
    throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  });
  const [start, stop, step] =
    bounds.length === 1 ? [0n, bounds[0]!, 1n] : [bounds[0]!, bounds[1]!, bounds[2] ?? 1n];
  if (step === 0n) throw valueError('range() arg 3 must not be zero');
  budget.range(rangeLength(start, stop, step));
  return new Range(start, stop, step);
}

function pairs({ positional, named }: Arguments, budget: Budget): [Value, Value][] {
  if (positional.length > 1) throw typeError(`dict expected at most 1 argument, got ${positional.length}`);
  const [from] = positional;
  const entries =
    from === undefined
      ? []
      : from instanceof Dict
        ? from.entries
        : iterate(from, budget).map((item) => pairOf(item, budget));
  return [...entries, ...[...named].map(([name, value]): [Value, Value] => [Text.of(name), value])];
}

function pairOf(item: Value, budget: Budget): [Value, Value] {
  const pair = iterate(item, budget);
  if (pair.length !== 2)
    throw valueError(`dictionary update sequence element has length ${pair.length}; 2 is required`);
  return [pair[0]!, pair[1]!];
}

function makeNamespace(given: Arguments, budget: Budget): Value {
  const fields = new Map<string, Value>();
  for (const [name, value] of pairs(given, budget)) {
    if (!(name instanceof Text)) throw typeError('names in a namespace are strings');
    checkFieldName(name.value);
    fields.set(name.value, value);
  }
  return new Namespace(fields);
}

class Cycler extends Thing {
  readonly typeName = 'Cycler';
  #at = 0;

  constructor(readonly items: readonly Value[]) {
    super();
    if (items.length === 0) throw new TemplateFailure('RuntimeError', 'at least one item has to be provided');
  }

  get #current(): Value {
    return this.items[this.#at % this.items.length]!;
  }

  override attribute(name: string): Value | undefined {
    if (name === 'current') return this.#current;
    if (name === 'reset') {
      return new Callable(name, () => {
        this.#at = 0;
        return null;
      });
    }
    if (name !== 'next') return undefined;
    return new Callable(name, () => {
      const value = this.#current;
      this.#at++;
      return value;
    });
  }
}

function makeJoiner(given: Arguments): Value {
  const [separator] = matchArguments('joiner', ['sep'], 0, given);
  let used = false;
  return new Callable('joiner', () => {
    const value = used ? orElse(separator, Text.of(', ')) : Text.empty;
    used = true;
    return value;
  });
}
