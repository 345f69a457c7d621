/** The variable `loop` of a for loop. */
import type { Budget } from './budget.js';
import { equal } from './comparing.js';
import { typeError } from './failure.js';
import { matchArguments } from './signature.js';
import { Callable, Tuple, Undefined, type Value } from './values.js';

export class LoopState extends Callable {
  override readonly typeName = 'LoopContext';
  index = -1;
  #changed: Tuple | undefined;

  /** `again` renders the body for other items, in a loop that is recursive. */
  constructor(
    readonly items: readonly Value[],
    readonly depth: number,
    readonly budget: Budget,
    again: ((items: Value) => Value) | undefined,
  ) {
    super('loop', (given) => {
      const [inner] = matchArguments('loop', ['iterable'], 1, given);
      if (again === undefined) {
        throw typeError("The loop must have the 'recursive' marker to be called recursively.");
      }
      return again(inner!);
    });
  }

  get size(): number {
    return this.items.length;
  }

  override attribute(name: string): Value | undefined {
    const { index, items } = this;
    switch (name) {
      case 'index0':
        return BigInt(index);
      case 'index':
        return BigInt(index + 1);
      case 'revindex0':
        return BigInt(items.length - index - 1);
      case 'revindex':
        return BigInt(items.length - index);
      case 'first':
        return index === 0;
      case 'last':
        return index + 1 === items.length;
      case 'length':
        return BigInt(items.length);
      case 'depth':
        return BigInt(this.depth + 1);
      case 'depth0':
        return BigInt(this.depth);
      case 'previtem':
        return index > 0 ? items[index - 1]! : new Undefined('there is no previous item');
      case 'nextitem':
        return index + 1 < items.length ? items[index + 1]! : new Undefined('there is no next item');
      case 'cycle':
        return new Callable(name, ({ positional }) => {
          if (positional.length === 0) throw typeError('no items for cycling given');
          return positional[index % positional.length]!;
        });
      case 'changed':
        return new Callable(name, ({ positional }) => this.#isChanged(new Tuple(positional)));
      default:
        return undefined;
    }
  }

  #isChanged(values: Tuple): boolean {
    if (this.#changed !== undefined && equal(this.#changed, values, this.budget)) return false;
    this.#changed = values;
    return true;
  }
}
