/** Whether no value satisfies two accounts at once, as far as that can be seen: by types, listed values, bounds, members. */
import { type Facts, type JsonType, type MemberLayer, sameValue, typeOf } from './facts.js';
import { typeFits } from './keywords.js';
import type { SchemaContext } from './schema-context.js';

const deepest = 4;

export function provablyDisjoint(compiler: SchemaContext, a: Facts, b: Facts, depth = 0): boolean {
  if (depth > deepest) return false;
  // A group's branches must each be apart from the other side.
  for (const [one, other] of [
    [a, b],
    [b, a],
  ]) {
    const group = one.groups[0];
    if (group)
      return compiler
        .branches(one, group)
        .every((branch) => provablyDisjoint(compiler, branch, other, depth + 1));
  }
  if (a.values && b.values) {
    const { values } = b;
    return !a.values.some((value) => values.some((other) => sameValue(value, other)));
  }
  const listed = a.values ? a : b.values ? b : undefined;
  if (listed?.values) {
    const other = listed === a ? b : a;
    if (listed.values.every((value) => !typeFits(other, value))) return true;
  }
  const shared = [...a.types].filter((type) => b.types.has(type) && holds(a, type) && holds(b, type));
  return shared.every((type) => disjointOf(compiler, type, a, b, depth));
}

function holds({ values }: Facts, type: JsonType): boolean {
  return !values || values.some((value) => typeOf(value) === type);
}

function disjointOf(compiler: SchemaContext, type: JsonType, a: Facts, b: Facts, depth: number): boolean {
  if (type === 'number') return below(a, b) || below(b, a);
  if (type === 'string') return a.length[1] < b.length[0] || b.length[1] < a.length[0];
  if (type === 'array') return a.count[1] < b.count[0] || b.count[1] < a.count[0];
  if (type !== 'object') return false;
  for (const name of new Set([...a.required, ...b.required])) {
    const both = a.required.has(name) && b.required.has(name);
    if (closedTo(a.layers, name) || closedTo(b.layers, name)) return true;
    if (!both) continue;
    const [one, other] = [a, b].map(({ layers }) =>
      compiler.facts(layers.flatMap(({ properties }) => properties.get(name) ?? [])),
    );
    if (provablyDisjoint(compiler, one, other, depth + 1)) return true;
  }
  return false;
}

function below(a: Facts, b: Facts): boolean {
  if (!a.most || !b.least) return false;
  return (
    a.most.value < b.least.value ||
    (a.most.value === b.least.value && (a.most.exclusive || b.least.exclusive))
  );
}

/** The member cannot be there. */
function closedTo(layers: readonly MemberLayer[], name: string): boolean {
  return layers.some(
    ({ properties, patterns, additional }) =>
      properties.get(name)?.schema === false ||
      (!properties.has(name) && patterns.length === 0 && additional?.schema === false),
  );
}
