/**
 * Objects: declared members in their order, required ones always, others or not; then those that are not declared, whose
 * names are none of the declared ones.
 */
import { type Facts, type Located, type MemberLayer, pointer, refused } from './facts.js';
import type { Node } from './grammar.js';
import type { SchemaContext } from './schema-context.js';
import { keyNode, matches, stringNode, textFits } from './string-grammar.js';

/** Members and counts of members that are told apart: one node each. */
const mostCounted = 20_000;

interface Member {
  required: boolean;
  node: Node;
}

/** Members that are not declared, or none. */
type Extra = Node | undefined;

export function objectNode(compiler: SchemaContext, given: Facts, path: string): Node {
  const facts = given.copy();
  facts.layers.push(...unevaluatedMembers(given));
  const { builder, text } = compiler;
  const names = new Set(facts.layers.flatMap((layer) => [...layer.properties.keys()]));
  const lost = [...facts.required].filter((name) => !names.has(name));
  // Required and not declared: declared by what holds for all others.
  for (const name of lost) names.add(name);
  const nameFacts = compiler.facts(facts.propertyNames);
  if (nameFacts.groups.length > 0)
    throw refused(facts.propertyNames[0].path, 'is supported without anyOf and oneOf');
  const members: Member[] = [];
  for (const name of names) {
    const required = facts.required.has(name);
    const schemas = schemasOf(facts.layers, name);
    const allowed = nameFits(nameFacts, name) && !schemas.some(({ schema }) => schema === false);
    if (!allowed && required) return builder.choice([]);
    if (!allowed) continue;
    const value = compiler.node(schemas.length === 0 ? [{ schema: true, path }] : schemas);
    members.push({ required, node: text.member(text.constant(name), value) });
  }
  const extra = extraNode(compiler, facts, [...names], path);
  const body = new MemberList(compiler, members, extra, facts, path).node();
  return builder.sequence([builder.literal('{'), body, builder.literal('}')]);
}

/** Members of which the schema, and those in its place, say nothing. */
function unevaluatedMembers(facts: Facts): MemberLayer[] {
  return facts.unevaluated.flatMap((one): MemberLayer[] => {
    const { of, located, owner } = one;
    if (of === 'items' || facts.isEvaluatedWithin(one)) return [];
    const seen = facts.layers.filter(({ chain }) => chain.includes(owner));
    if (seen.some(({ additional }) => additional !== undefined)) return [];
    const any = { schema: true, path: located.path };
    return [
      {
        path: located.path,
        properties: new Map(
          seen.flatMap(({ properties }) => [...properties.keys()].map((name) => [name, any] as const)),
        ),
        patterns: seen.flatMap(({ patterns }) => patterns.map(({ pattern }) => ({ pattern, located: any }))),
        additional: located,
        chain: [],
      },
    ];
  });
}

function schemasOf(layers: readonly MemberLayer[], name: string): Located[] {
  return layers.flatMap((layer) => {
    const own = layer.properties.get(name);
    const found = layer.patterns
      .filter(({ pattern, located }) => matches(pattern, name, true, located.path))
      .map(({ located }) => located);
    if (own) found.unshift(own);
    if (found.length > 0 || !layer.additional) return found;
    return [layer.additional];
  });
}

function nameFits(facts: Facts, name: string): boolean {
  if (!facts.types.has('string')) return false;
  return (!facts.values || facts.values.includes(name)) && textFits(facts, name);
}

/** A member of another name than the declared ones. */
function extraNode(compiler: SchemaContext, facts: Facts, names: readonly string[], path: string): Extra {
  const { builder, text } = compiler;
  /** What all layers say of names that match a pattern. */
  const patterns = new Map<string, Located[]>();
  for (const { pattern, located } of facts.layers.flatMap((layer) => layer.patterns))
    patterns.set(pattern, [...(patterns.get(pattern) ?? []), located]);
  const [first] = [...patterns.values()].flat();
  const partly = facts.layers.find(
    (layer) => layer.additional && new Set(layer.patterns.map(({ pattern }) => pattern)).size < patterns.size,
  );
  if (partly) throw refused(first.path, 'is not supported in allOf beside additionalProperties');
  const declared = names.map((name) => text.constant(name));
  const patternKeys = [...patterns].map(([pattern, [{ path: at }]]) => keyNode(text, pattern, at));
  const choices: Node[] = [];
  [...patterns.values()].forEach((schemas, i) => {
    if (schemas.some(({ schema }) => schema === false)) return;
    // A name that matches several patterns is left out.
    const others = [...declared, ...patternKeys.filter((_, j) => j !== i)];
    const key = others.length > 0 ? builder.subtract(patternKeys[i], builder.choice(others)) : patternKeys[i];
    choices.push(text.member(named(compiler, facts, key), compiler.node(schemas)));
  });
  const additional = facts.layers.flatMap((layer) => (layer.additional ? [layer.additional] : []));
  if (!additional.some(({ schema }) => schema === false)) {
    const taken = [...declared, ...patternKeys];
    const free = facts.propertyNames.length === 0 && taken.length === 0;
    const any = keyNode(text);
    const key = free
      ? text.string()
      : named(compiler, facts, taken.length > 0 ? builder.subtract(any, builder.choice(taken)) : any);
    choices.push(
      text.member(key, compiler.node(additional.length === 0 ? [{ schema: true, path }] : additional)),
    );
  }
  return choices.length === 0 ? undefined : builder.choice(choices);
}

/** A key that is also what `propertyNames` asks for. */
function named(compiler: SchemaContext, facts: Facts, key: Node): Node {
  if (facts.propertyNames.length === 0) return key;
  const { builder, text } = compiler;
  const nameFacts = compiler.facts(facts.propertyNames);
  if (!nameFacts.types.has('string')) return builder.choice([]);
  if (nameFacts.values) {
    const fitting = nameFacts.values.filter(
      (value) => typeof value === 'string' && nameFits(nameFacts, value),
    );
    return builder.intersect([key, builder.choice(fitting.map((value) => text.constant(value)))]);
  }
  const [least, most] = nameFacts.length;
  const limited = nameFacts.patterns.length > 0 || least > 0 || most < Number.POSITIVE_INFINITY;
  if (!limited) return key;
  const lengths = text.quoted(
    builder.repeat(text.anyChar(), least, most === Number.POSITIVE_INFINITY ? undefined : most),
  );
  return builder.intersect(
    nameFacts.patterns.length > 0 ? [key, stringNode(text, nameFacts)] : [key, lengths],
  );
}

/** Members with their commas, by how many came before where that matters. */
class MemberList {
  readonly #rest = new Map<string, Node>();
  readonly #counts: boolean;
  readonly #least: number;
  readonly #most: number;

  constructor(
    readonly compiler: SchemaContext,
    readonly members: readonly Member[],
    readonly extra: Extra,
    facts: Facts,
    path: string,
  ) {
    [this.#least, this.#most] = facts.members;
    const required = members.filter((member) => member.required).length;
    const most = extra === undefined ? members.length : Number.POSITIVE_INFINITY;
    this.#counts = this.#least > required || this.#most < most;
    const states = (members.length + 1) * (Math.min(this.#most, members.length + this.#least) + 1);
    if (this.#counts && states > mostCounted)
      throw refused(pointer(path, 'minProperties'), 'counts too many members');
    if (this.#counts && extra !== undefined && this.#least > required + 1)
      throw refused(
        pointer(path, 'minProperties'),
        'asks for several members of free names, which is not supported',
      );
  }

  node(): Node {
    // From the back, so that no list is as deep on the stack as it is long.
    for (let i = this.members.length; i >= 0; i--) {
      for (let before = i; before >= 0; before--) this.#from(i, before);
    }
    return this.#from(0, 0);
  }

  /** From member i on, after `before` members. */
  #from(i: number, before: number): Node {
    const counted = this.#counts ? before : Math.min(before, 1);
    const key = `${i} ${counted}`;
    let node = this.#rest.get(key);
    if (node === undefined) {
      node = i === this.members.length ? this.#extras(counted) : this.#member(i, counted);
      this.#rest.set(key, node);
    }
    return node;
  }

  #member(i: number, before: number): Node {
    const { builder, text } = this.compiler;
    const { required, node } = this.members[i];
    const choices: Node[] = [];
    if (!this.#counts || before < this.#most) {
      const next = this.#from(i + 1, before + 1);
      choices.push(builder.sequence(before > 0 ? [text.mark(','), node, next] : [node, next]));
    }
    if (!required) choices.push(this.#from(i + 1, before));
    return builder.choice(choices);
  }

  #extras(before: number): Node {
    const { builder, text } = this.compiler;
    const least = this.#counts ? Math.max(0, this.#least - before) : 0;
    const most = this.#counts ? this.#most - before : Number.POSITIVE_INFINITY;
    if (most < 0) return builder.choice([]);
    if (this.extra === undefined || most === 0) return least > 0 ? builder.choice([]) : builder.sequence([]);
    const upTo = (count: number) => (count === Number.POSITIVE_INFINITY ? undefined : count);
    const rule = builder.declare(true);
    builder.define(rule, this.extra);
    const one = builder.rule(rule);
    const more = builder.sequence([text.mark(','), one]);
    if (before > 0) return builder.repeat(more, least, upTo(most));
    const all = builder.sequence([one, builder.repeat(more, Math.max(0, least - 1), upTo(most - 1))]);
    return least > 0 ? all : builder.optional(all);
  }
}
