/**
 * JSON Schema 2020-12 to a grammar of its instances: members in the order in which the schema declares them, those it does
 * not declare after them. What a schema says is enforced, or it is refused by keyword and path.
 */
import { KvasirError } from '../errors.js';
import { arrayNode } from './array-grammar.js';
import { provablyDisjoint } from './disjoint.js';
import { Facts, type Group, type JsonType, type Located, refused, typeOf } from './facts.js';
import type { GrammarBuilder, Node } from './grammar.js';
import { JsonText } from './json-text.js';
import { gatherInto, onlyReference, typeFits } from './keywords.js';
import { NumberRanges } from './number-ranges.js';
import { objectNode } from './object-grammar.js';
import type { SchemaContext } from './schema-context.js';
import { SchemaDocument } from './schema-document.js';
import { stringNode, textFits } from './string-grammar.js';

/** Schemas that are compiled, those of combinations included. */
const mostSchemas = 3000;
const deepest = 100;
/** Multiples that are listed one by one. */
const mostMultiples = 2000;

/** The node of all instances. Throws INVALID_OPTION with keyword and path, LIMIT_EXCEEDED. */
export function schemaNode(builder: GrammarBuilder, schema: unknown): Node {
  const compiler = new SchemaCompiler(builder, new SchemaDocument(schema, 'The schema'));
  return compiler.reference({ schema: compiler.document.root, path: '#' });
}

class SchemaCompiler implements SchemaContext {
  readonly text: JsonText;
  readonly #ranges: NumberRanges;
  /** Of schemas that are referred to: the same schema is one rule. */
  readonly #rules = new Map<unknown, number>();
  #compiled = 0;
  #depth = 0;

  constructor(
    readonly builder: GrammarBuilder,
    readonly document: SchemaDocument,
  ) {
    this.text = new JsonText(builder);
    this.#ranges = new NumberRanges(this.text);
  }

  /** A schema that may be met within itself. */
  reference(located: Located): Node {
    if (typeof located.schema !== 'object' || located.schema === null) return this.node([located]);
    let rule = this.#rules.get(located.schema);
    if (rule === undefined) {
      rule = this.builder.declare(true);
      this.#rules.set(located.schema, rule);
      this.builder.define(rule, this.#node([located]));
    }
    return this.builder.rule(rule);
  }

  /** What satisfies all of these. */
  node(all: readonly Located[]): Node {
    const only = all.length === 1 ? onlyReference(all[0].schema) : undefined;
    if (only === undefined) return this.#node(all);
    return this.reference(this.document.resolve(only, `${all[0].path}/$ref`));
  }

  facts(all: readonly Located[]): Facts {
    const facts = new Facts();
    for (const located of all) gatherInto(facts, located, this.document);
    return facts;
  }

  #node(all: readonly Located[]): Node {
    if (++this.#compiled > mostSchemas) {
      throw new KvasirError('LIMIT_EXCEEDED', `The schema becomes more than ${mostSchemas} schemas.`);
    }
    if (this.#depth >= deepest) {
      throw new KvasirError('LIMIT_EXCEEDED', `The schema is nested more than ${deepest} deep.`);
    }
    this.#depth++;
    const node = this.#grouped(this.facts(all), all[0]?.path ?? '#');
    this.#depth--;
    return node;
  }

  /** One branch of each group, in every combination. */
  #grouped(facts: Facts, path: string): Node {
    const group = facts.groups[0];
    if (group === undefined) return this.#plain(facts, path);
    const branches = this.branches(facts, group);
    if (group.keyword === 'oneOf') this.#checkDisjoint(branches, group.path);
    if (++this.#compiled > mostSchemas) {
      throw new KvasirError('LIMIT_EXCEEDED', `The schema becomes more than ${mostSchemas} schemas.`);
    }
    // A branch that is a reference and nothing else stays one.
    const alone = isUnconstrained(facts) && facts.groups.length === 1;
    const nodes = branches.map((branch, i) => {
      const reference = alone ? onlyReference(group.branches[i].schema) : undefined;
      return reference === undefined ? this.#grouped(branch, path) : this.node([group.branches[i]]);
    });
    return this.builder.choice(nodes);
  }

  /** The facts with each branch of a group in its place. */
  branches(facts: Facts, group: Group): Facts[] {
    return group.branches.map((branch) => {
      const copy = facts.copy();
      copy.groups = copy.groups.filter((other) => other !== group);
      gatherInto(copy, branch, this.document);
      return copy;
    });
  }

  #checkDisjoint(branches: readonly Facts[], path: string): void {
    for (let i = 0; i < branches.length; i++) {
      for (let j = 0; j < i; j++) {
        if (!provablyDisjoint(this, branches[i], branches[j]))
          throw refused(path, `has branches ${j} and ${i} that may both hold: use anyOf, or tell them apart`);
      }
    }
  }

  #plain(facts: Facts, path: string): Node {
    if (facts.values) {
      const fitting = facts.values.filter((value) => this.#valueFits(facts, value, path));
      return this.builder.choice(fitting.map((value) => this.text.constant(value)));
    }
    if (isUnconstrained(facts)) return this.text.value();
    return this.builder.choice(Array.from(facts.types, (type) => this.#ofType(type, facts, path)));
  }

  #ofType(type: JsonType, facts: Facts, path: string): Node {
    switch (type) {
      case 'object':
        return objectNode(this, facts, path);
      case 'array':
        return arrayNode(this, facts, path);
      case 'string':
        return stringNode(this.text, facts);
      case 'number':
        return this.#number(facts);
      case 'boolean':
        return this.builder.choice([this.builder.literal('true'), this.builder.literal('false')]);
      case 'null':
        return this.builder.literal('null');
    }
  }

  #number(facts: Facts): Node {
    const { least, most, multiples } = facts;
    let { integer } = facts;
    if (multiples.length > 0) {
      const wrong = multiples.find(({ value }) => !Number.isSafeInteger(value));
      if (wrong) throw refused(wrong.path, 'is supported only for integers');
      integer = true;
      const step = multiples.map(({ value }) => value).reduce(leastCommonMultiple);
      if (step !== 1) return this.#multiples(step, facts);
    }
    if (least || most) return this.#ranges.node({ least, most, integer });
    return integer ? this.text.integer() : this.text.number();
  }

  /** Few are listed; without bounds the remainder is followed digit by digit. */
  #multiples(step: number, { least, most, multiples }: Facts): Node {
    const { builder } = this;
    if (least && most) {
      const first = Math.ceil(least.value / step);
      const last = Math.floor(most.value / step);
      if (last - first > mostMultiples)
        throw refused(multiples[0].path, 'leaves too many values between its bounds');
      const values = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
      const fitting = values.filter(
        (value) => !(least.exclusive && value === least.value) && !(most.exclusive && value === most.value),
      );
      return builder.choice(fitting.map((value) => builder.literal(String(value === 0 ? 0 : value))));
    }
    const oneSided = least ?? most;
    if (oneSided && oneSided.value !== 0)
      throw refused(multiples[0].path, 'is supported with both bounds, or with none but 0');
    if (step > 100)
      throw refused(multiples[0].path, 'is more than 100, which is supported with both bounds only');
    const natural = this.#remainders(step);
    const signed: Node[] = [];
    if (!oneSided?.exclusive) signed.push(builder.literal('0'));
    if (!most) signed.push(natural);
    if (!least) signed.push(builder.sequence([builder.literal('-'), natural]));
    return builder.choice(signed);
  }

  /** Up to 15 digits, which float64 holds exactly, without a leading 0, whose value is 0 modulo `step`. */
  #remainders(step: number): Node {
    const { builder } = this;
    let rest: Node[] = Array.from({ length: step }, (_, remainder) =>
      remainder === 0 ? builder.sequence([]) : builder.choice([]),
    );
    const digits = (from: number, remainder: number, after: readonly Node[]) =>
      Array.from({ length: 10 - from }, (_, i) =>
        builder.sequence([builder.literal(String(from + i)), after[(remainder * 10 + from + i) % step]]),
      );
    for (let left = 1; left < 15; left++) {
      const after = rest;
      const ends = (remainder: number) => (remainder === 0 ? [builder.sequence([])] : []);
      rest = after.map((_, remainder) =>
        builder.choice([...ends(remainder), ...digits(0, remainder, after)]),
      );
    }
    return builder.choice(digits(1, 0, rest));
  }

  /** Whether a listed value satisfies what stands beside the list. */
  #valueFits(facts: Facts, value: unknown, path: string): boolean {
    if (!typeFits(facts, value)) return false;
    if (typeof value === 'string') return textFits(facts, value);
    if (typeof value === 'number') return numberFits(facts, value);
    const constrained =
      typeOf(value) === 'object' ? facts.layers.length + facts.required.size : facts.items.length;
    if (typeof value === 'object' && value !== null && constrained > 0)
      throw refused(
        path,
        'lists objects or arrays beside keywords about their contents, which is not supported',
      );
    return true;
  }
}

function numberFits({ least, most, multiples }: Facts, value: number): boolean {
  if (least && (least.exclusive ? value <= least.value : value < least.value)) return false;
  if (most && (most.exclusive ? value >= most.value : value > most.value)) return false;
  return multiples.every((multiple) => value % multiple.value === 0);
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

/** Nothing is said but what groups will say. */
function isUnconstrained(facts: Facts): boolean {
  const { types, layers, required, propertyNames, items, patterns, multiples } = facts;
  const lists = [layers, propertyNames, items, patterns, multiples];
  const spans = [facts.members, facts.count, facts.length];
  return (
    types.size === 6 &&
    !facts.integer &&
    facts.values === undefined &&
    required.size === 0 &&
    lists.every((list) => list.length === 0) &&
    spans.every(([least, most]) => least === 0 && most === Number.POSITIVE_INFINITY) &&
    facts.unique === undefined &&
    !facts.least &&
    !facts.most
  );
}
