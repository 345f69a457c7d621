/** Arrays: tuples, items, counts, items of which some must satisfy more, and distinct items where there are few. */
import { type Facts, type ItemLayer, type Located, refused, sameValue } from './facts.js';
import type { Node } from './grammar.js';
import { Negated } from './negate.js';
import type { SchemaContext } from './schema-context.js';

/** Distinct items are told apart by the set of those that came: two to the power of this. */
const mostDistinct = 10;
/** Places and counts that are told apart. */
const mostPlaces = 5000;

export function arrayNode(compiler: SchemaContext, facts: Facts, path: string): Node {
  const { builder, text } = compiler;
  const [least, most] = facts.count;
  if (most < least) return builder.choice([]);
  if (facts.unique !== undefined && most > 1) return distinctNode(compiler, facts, facts.unique);
  const layers = [...facts.items, ...unevaluatedItems(facts)];
  const contains = facts.contains.filter((one) => one.least > 0 || Number.isFinite(one.most));
  if (contains.length > 1) throw refused(contains[1].located.path, 'is supported once for an array');
  const places = Math.max(0, ...layers.map(({ prefix }) => prefix.length));
  const rest = itemsAt(layers, places);
  const closed = rest.some(({ schema }) => schema === false);
  const end = Math.min(most, closed ? places : Number.POSITIVE_INFINITY);
  if (end < least) return builder.choice([]);
  if (places === 0 && contains.length === 0) {
    const item =
      end === 0 ? builder.choice([]) : compiler.node(rest.length === 0 ? [{ schema: true, path }] : rest);
    return text.list(item, least, Number.isFinite(end) ? end : undefined);
  }
  const list = new ItemList(compiler, layers, contains[0], [least, end, places], path);
  return builder.sequence([builder.literal('['), list.node(), builder.literal(']')]);
}

function itemsAt(layers: readonly ItemLayer[], i: number): Located[] {
  return layers.flatMap(({ prefix, items: rest }) => {
    if (i < prefix.length) return [prefix[i]];
    return rest ? [rest] : [];
  });
}

/** Items of which the schema, and those in its place, say nothing. */
function unevaluatedItems(facts: Facts): ItemLayer[] {
  return facts.unevaluated.flatMap((one): ItemLayer[] => {
    const { of, located, owner } = one;
    if (of === 'members' || facts.isEvaluatedWithin(one)) return [];
    if (facts.contains.length > 0) throw refused(located.path, 'is not supported beside contains');
    const seen = facts.items.filter(({ chain }) => chain.includes(owner));
    if (seen.some(({ items }) => items !== undefined)) return [];
    const places = Math.max(0, ...seen.map(({ prefix }) => prefix.length));
    const any = Array.from({ length: places }, () => ({ schema: true, path: located.path }));
    return [{ prefix: any, items: located, chain: [] }];
  });
}

type Contained = Facts['contains'][number];

/** Items by their place, as far as places differ, and by how many that count came before. */
class ItemList {
  readonly #least: number;
  readonly #end: number;
  /** From here on all places are alike. */
  readonly #last: number;
  readonly #items = new Map<string, number>();

  constructor(
    readonly compiler: SchemaContext,
    readonly layers: readonly ItemLayer[],
    readonly contains: Contained | undefined,
    [least, end, places]: readonly [least: number, end: number, places: number],
    readonly path: string,
  ) {
    this.#least = least;
    this.#end = end;
    this.#last = Number.isFinite(end) ? end : Math.max(least, places, 1);
    if (this.#last * (this.#mostCounted + 1) > mostPlaces) throw refused(path, 'counts too many items');
  }

  get #mostCounted(): number {
    if (!this.contains) return 0;
    return Number.isFinite(this.contains.most) ? this.contains.most : this.contains.least;
  }

  node(): Node {
    const { builder } = this.compiler;
    /** [counted] what may follow at a place. */
    let after = Array.from({ length: this.#mostCounted + 1 }, () => builder.choice([]));
    after = Number.isFinite(this.#end)
      ? after.map((_, counted) => this.#stop(this.#end, counted))
      : this.#endless();
    for (let i = this.#last - 1; i >= 0; i--) {
      const next = after;
      after = next.map((_, counted) => {
        const choices = this.#choices(i, counted).map(([item, to]) =>
          builder.sequence([...this.#comma(i), item, next[to]]),
        );
        return builder.choice([...choices, this.#stop(i, counted)]);
      });
    }
    return after[0];
  }

  /** Any number of items more. */
  #endless(): Node[] {
    const { builder } = this.compiler;
    const rules = Array.from({ length: this.#mostCounted + 1 }, () => builder.declare());
    rules.forEach((rule, counted) => {
      const choices = this.#choices(this.#last, counted).map(([item, to]) =>
        builder.sequence([...this.#comma(this.#last), item, builder.rule(rules[to])]),
      );
      builder.define(rule, builder.choice([...choices, this.#stop(this.#last, counted)]));
    });
    return rules.map((rule) => builder.rule(rule));
  }

  #comma(i: number): Node[] {
    return i > 0 ? [this.compiler.text.mark(',')] : [];
  }

  #stop(i: number, counted: number): Node {
    const { builder } = this.compiler;
    const enough = i >= this.#least && counted >= (this.contains?.least ?? 0);
    return enough ? builder.sequence([]) : builder.choice([]);
  }

  /** What may stand at a place, and how many are counted with it. */
  #choices(i: number, counted: number): [Node, number][] {
    const { contains } = this;
    if (!contains) return [[this.#item(i, 'any'), 0]];
    const bounded = Number.isFinite(contains.most);
    const others: [Node, number] = [this.#item(i, bounded ? 'out' : 'any'), counted];
    if (counted >= this.#mostCounted) return [others];
    return [others, [this.#item(i, 'in'), counted + 1]];
  }

  #item(i: number, side: 'any' | 'in' | 'out'): Node {
    const { builder } = this.compiler;
    const place = Math.min(i, Math.max(0, ...this.layers.map(({ prefix }) => prefix.length)));
    const key = `${place} ${side}`;
    let rule = this.#items.get(key);
    if (rule === undefined) {
      const schemas = itemsAt(this.layers, place);
      if (this.contains && side !== 'any') {
        const { located } = this.contains;
        schemas.push(side === 'in' ? located : { schema: new Negated(located), path: located.path });
      }
      rule = builder.declare(true);
      this.#items.set(key, rule);
      builder.define(
        rule,
        this.compiler.node(schemas.length === 0 ? [{ schema: true, path: this.path }] : schemas),
      );
    }
    return builder.rule(rule);
  }
}

function distinctNode(compiler: SchemaContext, facts: Facts, path: string): Node {
  const { builder, text } = compiler;
  if ([...facts.items, ...unevaluatedItems(facts)].some(({ prefix }) => prefix.length > 0))
    throw refused(path, 'is not supported for tuples');
  const itemFacts = compiler.facts(itemsAt([...facts.items, ...unevaluatedItems(facts)], 0));
  const booleans = itemFacts.types.size === 1 && itemFacts.types.has('boolean') ? [false, true] : undefined;
  const listed = itemFacts.groups.length === 0 ? (itemFacts.values ?? booleans) : undefined;
  if (!listed) throw refused(path, 'is supported only for items that are listed by enum');
  const values = listed.filter((value, i) => listed.findIndex((other) => sameValue(value, other)) === i);
  if (facts.contains.length > 0) throw refused(path, 'is not supported beside contains');
  if (values.length > mostDistinct)
    throw refused(path, `is supported for at most ${mostDistinct} listed items`);
  const [least, most] = facts.count;
  const nodes = values.map((value) => text.constant(value));
  /** [set of those that came] what may follow; a larger set has a larger number. */
  const after: Node[] = [];
  for (let came = 2 ** values.length - 1; came >= 0; came--) {
    const count = values.filter((_, i) => came & (1 << i)).length;
    const choices = count >= least ? [builder.sequence([])] : [];
    for (let i = 0; i < values.length && count < most; i++) {
      if (came & (1 << i)) continue;
      const next = after[came | (1 << i)];
      choices.push(builder.sequence(count > 0 ? [text.mark(','), nodes[i], next] : [nodes[i], next]));
    }
    after[came] = builder.choice(choices);
  }
  return builder.sequence([builder.literal('['), after[0], builder.literal(']')]);
}
