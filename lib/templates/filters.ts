/** All filters by name. */
import { TemplateFailure } from './failure.js';
import type { FilterTable } from './filter.js';
import type { Runtime } from './runtime.js';
import { sequenceFilters } from './sequence-filters.js';
import { matchArguments } from './signature.js';
import { textFilters } from './text-filters.js';
import type { Arguments, Value } from './values.js';

const aliases: Readonly<Record<string, string>> = { count: 'length', d: 'default', e: 'escape' };
const table: FilterTable = { ...textFilters, ...sequenceFilters };

export function isFilter(name: string): boolean {
  return Object.hasOwn(table, aliases[name] ?? name);
}

export function applyFilter(name: string, value: Value, given: Arguments, runtime: Runtime): Value {
  if (!isFilter(name)) throw new TemplateFailure('TemplateRuntimeError', `No filter named '${name}'.`);
  const { names, required, body } = table[aliases[name] ?? name]!;
  const found = names === undefined ? [] : matchArguments(name, names, required, given);
  return body({ runtime, value, found, given });
}
