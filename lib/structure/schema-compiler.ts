/**
 * JSON Schema 2020-12 to a grammar of its instances: members in the order in which the schema declares them, those it does
 * not declare after them. What a schema says is enforced, or it is refused by keyword and path.
 */
import { isKvasirError, KvasirError } from '../errors.js';
import { arrayNode } from './array-grammar.js';
import { provablyDisjoint } from './disjoint.js';
import { Facts, type Group, type JsonType, type Located, refused, sameValue, typeOf } from './facts.js';
import type { GrammarBuilder, Node } from './grammar.js';
import { JsonText } from './json-text.js';
import { gatherInto, onlyReference, typeFits } from './keywords.js';
import { Negated } from './negate.js';
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

export class SchemaCompiler implements SchemaContext {
  readonly #ranges: NumberRanges;
  /** Of schemas that are referred to: the same schema is one rule. */
  readonly #rules = new Map<unknown, number>();
  /** Combinations of schemas that are being compiled, by the numbers of their schemas. */
  readonly #open = new Map<string, { rule?: number }>();
  readonly #numbers = new Map<unknown, number>();
  #compiled = 0;
  #depth = 0;

  constructor(
    readonly builder: GrammarBuilder,
    readonly document: SchemaDocument,
    readonly text = new JsonText(builder),
  ) {
    this.#ranges = new NumberRanges(text);
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

  /** What satisfies all of these. Met again within themselves they are a rule that refers to itself. */
  node(all: readonly Located[]): Node {
    const only = all.length === 1 ? onlyReference(all[0], this.document) : undefined;
    if (only !== undefined) return this.reference(only);
    const key = all.map(({ schema }) => this.#numberOf(schema)).join(' ');
    const open = this.#open.get(key);
    if (open) {
      open.rule ??= this.builder.declare(true);
      return this.builder.rule(open.rule);
    }
    const entry: { rule?: number } = {};
    this.#open.set(key, entry);
    const node = this.#node(all);
    this.#open.delete(key);
    if (entry.rule === undefined) return node;
    this.builder.define(entry.rule, node);
    return this.builder.rule(entry.rule);
  }

  #numberOf(schema: unknown): number {
    const known = this.#numbers.get(schema) ?? this.#numbers.size;
    this.#numbers.set(schema, known);
    return known;
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
    const all = this.branches(facts, group);
    const branches = group.keyword === 'oneOf' ? this.#exclusive(group, all) : all;
    if (++this.#compiled > mostSchemas) {
      throw new KvasirError('LIMIT_EXCEEDED', `The schema becomes more than ${mostSchemas} schemas.`);
    }
    // A branch that is a reference and nothing else stays one.
    const alone = isUnconstrained(facts) && facts.groups.length === 1;
    const nodes = branches.map((branch, i) => {
      const reference =
        alone && branches === all ? onlyReference(group.branches[i], this.document) : undefined;
      return reference === undefined ? this.#grouped(branch, path) : this.reference(reference);
    });
    return this.builder.choice(nodes);
  }

  /** The facts with each branch of a group in its place. */
  branches(facts: Facts, group: Group): Facts[] {
    return group.branches.map((branch) => {
      const copy = facts.copy();
      copy.groups = copy.groups.filter((other) => other !== group);
      gatherInto(copy, branch, this.document, group.chain);
      return copy;
    });
  }

  /** Branches of which one holds and no other: as they are where no two can hold, else each without the others. */
  #exclusive(group: Group, branches: readonly Facts[]): readonly Facts[] {
    const disjoint = branches.every((branch, i) =>
      branches.slice(0, i).every((other) => provablyDisjoint(this, branch, other)),
    );
    if (disjoint) return branches;
    return branches.map((branch, i) => {
      const alone = branch.copy();
      group.branches.forEach((other, j) => {
        if (i === j) return;
        const schema = new Negated(other);
        try {
          gatherInto(alone, { schema, path: other.path }, this.document, group.chain);
        } catch (error) {
          if (!isKvasirError(error)) throw error;
          throw refused(
            group.path,
            `has branches that may both hold and cannot be told apart: use anyOf, or give them a tag (${error.message})`,
          );
        }
      });
      return alone;
    });
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
        this.#checkExcluded(facts, type);
        return objectNode(this, facts, path);
      case 'array':
        this.#checkExcluded(facts, type);
        return arrayNode(this, facts, path);
      case 'string':
        return stringNode(this.text, facts);
      case 'number':
        return this.#number(facts);
      case 'boolean':
        return this.#literals([true, false], facts);
      case 'null':
        return this.#literals([null], facts);
    }
  }

  #literals(values: readonly unknown[], { excluded }: Facts): Node {
    const left = values.filter((value) => !excluded.some((other) => other.value === value));
    return this.builder.choice(left.map((value) => this.builder.literal(String(value))));
  }

  #checkExcluded({ excluded }: Facts, type: JsonType): void {
    const wrong = excluded.find(({ value }) => typeOf(value) === type);
    if (wrong) throw refused(wrong.path, `excludes an ${type}, which is not supported`);
  }

  #number(facts: Facts): Node {
    const { builder } = this;
    const excluded = facts.excluded.flatMap(({ value }) => (typeof value === 'number' ? [value] : []));
    if (excluded.length === 0 && !facts.fractional) return this.#anyNumber(facts);
    if (facts.integer && facts.fractional) return builder.choice([]);
    if (facts.multiples.length > 0) throw refused(facts.multiples[0].path, 'is not supported beside not');
    // Written without exponents, so that a value has few forms.
    const plain = this.#ranges.node({ least: facts.least, most: facts.most, integer: facts.integer });
    if (facts.fractional) {
      const zeros = builder.repeat(builder.literal('0'), 0);
      const nonZero = [builder.chars([[0x31, 0x39]]), this.text.digits(0, 25)];
      const fraction = builder.sequence([this.text.integer(), builder.literal('.'), zeros, ...nonZero]);
      return builder.intersect([plain, fraction]);
    }
    const forms = excluded.map((value) => {
      const zeros = builder.sequence([builder.literal('.'), builder.repeat(builder.literal('0'), 1)]);
      const written = Number.isInteger(value) ? zeros : builder.repeat(builder.literal('0'), 0);
      const sign = value === 0 ? [builder.optional(builder.literal('-'))] : [];
      return builder.sequence([...sign, builder.literal(plainDigits(value)), builder.optional(written)]);
    });
    return builder.subtract(plain, builder.choice(forms));
  }

  #anyNumber(facts: Facts): Node {
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
    if (facts.excluded.some((other) => sameValue(other.value, value))) return false;
    if (facts.fractional && Number.isInteger(value)) return false;
    if (typeof value === 'string') return textFits(facts, value);
    if (typeof value === 'number') return numberFits(facts, value);
    const constrained =
      typeOf(value) === 'object'
        ? facts.layers.length + facts.required.size + facts.unevaluated.length
        : facts.items.length + facts.contains.length + facts.unevaluated.length;
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
  const { excluded, contains, unevaluated } = facts;
  const lists = [layers, propertyNames, items, patterns, multiples, excluded, contains, unevaluated];
  const spans = [facts.members, facts.count, facts.length];
  return (
    types.size === 6 &&
    !facts.integer &&
    !facts.fractional &&
    facts.values === undefined &&
    required.size === 0 &&
    lists.every((list) => list.length === 0) &&
    spans.every(([least, most]) => least === 0 && most === Number.POSITIVE_INFINITY) &&
    facts.unique === undefined &&
    !facts.least &&
    !facts.most
  );
}

/** A number without an exponent. */
function plainDigits(value: number): string {
  const text = String(value);
  return text.includes('e') ? value.toFixed(20).replace(/0+$/, '') : text;
}
