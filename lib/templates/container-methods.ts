/** Methods of dict, list, tuple, range and numbers. Those that would change their object are refused, as in the reference. */
import type { Budget } from './budget.js';
import { chargeKey, equal } from './comparing.js';
import { unsupported, valueError } from './failure.js';
import { integerArgument, matchArguments } from './signature.js';
import {
  Callable,
  Dict,
  iterate,
  List,
  orElse,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js';

const changing: Readonly<Record<string, readonly string[]>> = {
  dict: ['clear', 'pop', 'popitem', 'setdefault', 'update'],
  list: ['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove'],
};

/** What Python has and a template hardly needs. */
const refused: Readonly<Record<string, readonly string[]>> = {
  int: ['as_integer_ratio', 'bit_count', 'conjugate', 'from_bytes', 'to_bytes'],
  bool: ['as_integer_ratio', 'bit_count', 'conjugate', 'from_bytes', 'to_bytes'],
  float: ['as_integer_ratio', 'conjugate', 'fromhex', 'hex'],
  dict: ['fromkeys'],
  range: ['start', 'stop', 'step'],
  dict_keys: ['isdisjoint', 'mapping'],
  dict_items: ['isdisjoint', 'mapping'],
  dict_values: ['mapping'],
};

/** undefined: its type has no such method. */
export function containerMethod(value: Value, name: string, budget: Budget): Value | undefined {
  const type = typeName(value);
  if (changing[type]?.includes(name)) {
    return new Undefined(`access to attribute '${name}' of '${type}' object is unsafe.`, 'SecurityError');
  }
  if (refused[type]?.includes(name)) throw unsupported(`${type}.${name}`);
  if (value instanceof Dict) return dictMethod(value, name, budget);
  if (value instanceof List || value instanceof Tuple || value instanceof Range) {
    return sequenceMethod(value, name, budget);
  }
  if ((typeof value === 'bigint' || typeof value === 'boolean') && name === 'bit_length') {
    const size = BigInt(value) < 0n ? -BigInt(value) : BigInt(value);
    return plain(name, () => BigInt(size === 0n ? 0 : size.toString(2).length));
  }
  if (typeof value === 'number' && name === 'is_integer') return plain(name, () => Number.isInteger(value));
  return undefined;
}

function plain(name: string, body: () => Value): Callable {
  return new Callable(name, (given) => {
    matchArguments(name, [], 0, given);
    return body();
  });
}

function dictMethod(dict: Dict, name: string, budget: Budget): Value | undefined {
  const entries = (): [Value, Value][] => {
    budget.step(1 + (dict.size >> 2));
    return dict.entries;
  };
  switch (name) {
    case 'keys':
      return plain(
        name,
        () =>
          new View(
            'dict_keys',
            entries().map(([key]) => key),
          ),
      );
    case 'values':
      return plain(
        name,
        () =>
          new View(
            'dict_values',
            entries().map(([, value]) => value),
          ),
      );
    case 'items':
      return plain(
        name,
        () =>
          new View(
            'dict_items',
            entries().map((entry) => new Tuple(entry)),
          ),
      );
    case 'copy':
      return plain(name, () => new Dict(entries()));
    case 'get':
      return new Callable(name, (given) => {
        const [key, absent] = matchArguments(name, ['/key', '/default'], 1, given);
        chargeKey(key!, budget);
        return orElse(dict.get(key!), orElse(absent, null));
      });
    default:
      return undefined;
  }
}

function sequenceMethod(value: List | Tuple | Range, name: string, budget: Budget): Value | undefined {
  const charged = (): readonly Value[] => iterate(value, budget);
  if (name === 'copy' && value instanceof List) return plain(name, () => new List(charged()));
  if (name === 'count') {
    return new Callable(name, (given) => {
      const [wanted] = matchArguments(name, ['/value'], 1, given);
      return BigInt(charged().filter((item) => equal(item, wanted!, budget)).length);
    });
  }
  if (name !== 'index') return undefined;
  return new Callable(name, (given) => {
    const items = charged();
    const [wanted, start, stop] = matchArguments(name, ['/value', '/start', '/stop'], 1, given);
    const place = (bound: Value | undefined, absent: number): number => {
      if (bound === undefined) return absent;
      const at = integerArgument(bound);
      return at < 0 ? Math.max(0, at + items.length) : at;
    };
    const [from, to] = [place(start, 0), place(stop, items.length)];
    const at = items.findIndex((item, i) => i >= from && i < to && equal(item, wanted!, budget));
    if (at < 0) throw valueError(`${typeName(value)} does not hold that value`);
    return BigInt(at);
  });
}
