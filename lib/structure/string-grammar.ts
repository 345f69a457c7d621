/** Strings: lengths in characters, patterns and formats, all at once. */
import type { Facts } from './facts.js';
import { GrammarBuilder, type Node } from './grammar.js';
import type { JsonText } from './json-text.js';
import { regexNode } from './regex.js';

/** With its quotes. */
export function stringNode(text: JsonText, facts: Facts): Node {
  const { builder } = text;
  const [least, most] = facts.length;
  const bounded = least > 0 || most < Number.POSITIVE_INFINITY;
  const upTo = most === Number.POSITIVE_INFINITY ? undefined : most;
  const excluded = facts.excluded.filter(({ value }) => typeof value === 'string');
  if (facts.patterns.length === 0 && excluded.length === 0) {
    if (!bounded) return text.string();
    if (upTo !== undefined && upTo < least) return builder.choice([]);
    return text.quoted(builder.repeat(text.freeChar(), least, upTo));
  }
  const all = bodies(text, facts);
  if (bounded && upTo !== undefined && upTo < least) return builder.choice([]);
  if (bounded) all.push(builder.repeat(text.anyChar(), least, upTo));
  if (all.length === 0) all.push(builder.repeat(text.anyChar(), 0));
  const body = builder.intersect(all);
  if (excluded.length === 0) return text.quoted(body);
  const others = excluded.map(({ value }) => builder.literal(text.written(value).slice(1, -1)));
  return text.quoted(builder.subtract(body, builder.choice(others)));
}

/** What each pattern allows between the quotes. */
function bodies(text: JsonText, { patterns }: Facts): Node[] {
  const { builder } = text;
  return patterns.map(({ pattern, path, search, negated }) => {
    const chars = (ranges: Parameters<JsonText['chars']>[0]) => text.chars(ranges);
    const node = regexNode(builder, pattern, { chars, search, name: `The schema's ${path}` });
    return negated ? builder.subtract(builder.repeat(text.anyChar(), 0), node) : node;
  });
}

/** A member's name, with its quotes: any, or one that matches a pattern. */
export function keyNode(text: JsonText, pattern?: string, path = ''): Node {
  const { builder } = text;
  if (pattern === undefined) return text.quoted(builder.repeat(text.anyChar(), 0));
  const chars = (ranges: Parameters<JsonText['chars']>[0]) => text.chars(ranges);
  return text.quoted(regexNode(builder, pattern, { chars, search: true, name: `The schema's ${path}` }));
}

/** Whether a given string is as long and of the form that the facts ask for. Throws INVALID_OPTION as `stringNode` does. */
export function textFits(facts: Facts, value: string): boolean {
  const length = Array.from(value).length;
  if (length < facts.length[0] || length > facts.length[1]) return false;
  return facts.patterns.every(
    ({ pattern, path, search, negated = false }) => matches(pattern, value, search, path) !== negated,
  );
}

/** As a grammar would have it: what is refused there is refused here. */
export function matches(pattern: string, value: string, search: boolean, path: string): boolean {
  regexNode(new GrammarBuilder(), pattern, { search, name: `The schema's ${path}` });
  return new RegExp(search ? pattern : `^(?:${pattern})$`, 'u').test(value);
}
