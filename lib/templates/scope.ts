/** Names and their values. A name that is read is looked for outwards; one that is set is set here. */
import type { Value } from './values.js';

export class Scope {
  readonly #values = new Map<string, Value>();
  constructor(readonly outer?: Scope) {}

  find(name: string): Value | undefined {
    for (let scope: Scope | undefined = this; scope !== undefined; scope = scope.outer) {
      const value = scope.#values.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }
}
