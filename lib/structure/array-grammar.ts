/** Arrays: tuples, items, counts, and distinct items where there are few. */
import { type Facts, type Located, refused, sameValue } from './facts.js';
import type { Node } from './grammar.js';
import type { SchemaContext } from './schema-context.js';

/** Distinct items are told apart by the set of those that came: two to the power of this. */
const mostDistinct = 10;
const mostPlaces = 5000;

export function arrayNode(compiler: SchemaContext, facts: Facts, path: string): Node {
  const { builder, text } = compiler;
  const [least, most] = facts.count;
  if (most < least) return builder.choice([]);
  if (facts.unique !== undefined && most > 1) return distinctNode(compiler, facts, facts.unique);
  const places = Math.max(0, ...facts.items.map(({ prefix }) => prefix.length));
  const rest = itemsAt(facts, places);
  const closed = rest.some(({ schema }) => schema === false);
  const end = Math.min(most, closed ? places : Number.POSITIVE_INFINITY);
  if (end < least) return builder.choice([]);
  if (places > mostPlaces) throw refused(path, `has a tuple of more than ${mostPlaces} items`);
  const any = { schema: true, path };
  const restNode = () => compiler.node(rest.length === 0 ? [any] : rest);
  if (places === 0)
    return text.list(
      end === 0 ? builder.choice([]) : restNode(),
      least,
      Number.isFinite(end) ? end : undefined,
    );
  // From the back: the place after the tuple, then its places, each of which may be the last from `least` on.
  let tail =
    closed || end <= places
      ? builder.sequence([])
      : moreItems(compiler, restNode(), Math.max(0, least - places), end - places);
  for (let i = Math.min(places, end) - 1; i >= 0; i--) {
    const schemas = itemsAt(facts, i);
    const item = compiler.node(schemas.length === 0 ? [any] : schemas);
    const here = builder.sequence(i === 0 ? [item, tail] : [text.mark(','), item, tail]);
    tail = i >= least ? builder.optional(here) : here;
  }
  return builder.sequence([builder.literal('['), tail, builder.literal(']')]);
}

/** Items after others. */
function moreItems({ builder, text }: SchemaContext, item: Node, least: number, most: number): Node {
  const rule = builder.declare(true);
  builder.define(rule, item);
  const one = builder.sequence([text.mark(','), builder.rule(rule)]);
  return builder.repeat(one, least, Number.isFinite(most) ? most : undefined);
}

function itemsAt({ items }: Facts, i: number): Located[] {
  return items.flatMap(({ prefix, items: rest }) => {
    if (i < prefix.length) return [prefix[i]];
    return rest ? [rest] : [];
  });
}

function distinctNode(compiler: SchemaContext, facts: Facts, path: string): Node {
  const { builder, text } = compiler;
  if (facts.items.some(({ prefix }) => prefix.length > 0)) throw refused(path, 'is not supported for tuples');
  const itemFacts = compiler.facts(itemsAt(facts, 0));
  const booleans = itemFacts.types.size === 1 && itemFacts.types.has('boolean') ? [false, true] : undefined;
  const listed = itemFacts.groups.length === 0 ? (itemFacts.values ?? booleans) : undefined;
  if (!listed) throw refused(path, 'is supported only for items that are listed by enum');
  const values = listed.filter((value, i) => listed.findIndex((other) => sameValue(value, other)) === i);
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
