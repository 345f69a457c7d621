/** What filters, tests and functions of the template language are given. */
import type { Budget } from './budget.js';
import type { Arguments, Value } from './values.js';

export interface Runtime {
  budget: Budget;
  /** The time that strftime_now tells. */
  now: Date;
  filter(name: string, value: Value, given: Arguments): Value;
  test(name: string, value: Value, given: Arguments): boolean;
}

export const noArguments: Arguments = { positional: [], named: new Map() };
