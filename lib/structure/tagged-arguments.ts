/**
 * Arguments between tags, one by one in the order in which the schema declares them. What can only be a string is text as it
 * is, all else is JSON. Schemas that say more of the whole than its members are refused.
 */
import type { TagSyntax } from './answer-shape.js';
import { type Facts, refused } from './facts.js';
import { type FreeText, textOf } from './free-text.js';
import { lastCodePoint, type Node } from './grammar.js';
import { regexNode } from './regex.js';
import type { SchemaCompiler } from './schema-compiler.js';
import { textFits } from './string-grammar.js';
import { isPlainString, isRecord, writtenTypes } from './written-types.js';

/** What a schema of arguments may say; members that are not declared are left out. */
const known = new Set([
  ...['type', 'properties', 'required', 'additionalProperties', 'title', 'description', 'default'],
  ...['examples', '$schema', '$defs', 'definitions', '$comment', 'strict'],
]);

export function taggedArguments(text: FreeText, compiler: SchemaCompiler, tags: TagSyntax): Node {
  const { root } = compiler.document;
  const { builder } = text;
  if (!isRecord(root)) throw refused('#', 'is no object, as arguments between tags need it');
  const other = Object.keys(root).find((keyword) => !known.has(keyword) && !keyword.startsWith('x-'));
  if (other !== undefined) throw refused(`#/${other}`, 'is not supported for arguments between tags');
  if (root.type !== undefined && root.type !== 'object') throw refused('#/type', 'must be object');
  // Checks the schema as a whole.
  compiler.facts([{ schema: root, path: '#' }]);
  const properties = isRecord(root.properties) ? root.properties : {};
  const required = new Set(Array.isArray(root.required) ? root.required : []);
  const lost = [...required].find((name) => !Object.hasOwn(properties, String(name)));
  if (lost !== undefined) throw refused('#/required', 'names what properties does not declare');
  const members = Object.entries(properties).map(([name, schema]) => {
    const member = memberNode(text, compiler, tags, { name, schema });
    return required.has(name) ? member : builder.optional(member);
  });
  return builder.sequence(members);
}

function memberNode(
  text: FreeText,
  compiler: SchemaCompiler,
  tags: TagSyntax,
  { name, schema }: { name: string; schema: unknown },
): Node {
  const { builder } = text;
  const located = { schema, path: `#/properties/${name}` };
  const isText = isPlainString(writtenTypes(schema));
  const value = isText ? textNode(text, compiler, tags, compiler.facts([located])) : compiler.node([located]);
  return builder.sequence([
    text.space(),
    text.marker(tags.open),
    builder.literal(name),
    text.marker(isText ? tags.beforeText : tags.beforeJson),
    value,
    text.marker(tags.close),
  ]);
}

/** A string as it is, which does not hold what ends it. */
function textNode(text: FreeText, compiler: SchemaCompiler, tags: TagSyntax, facts: Facts): Node {
  const { builder } = text;
  const { close } = tags;
  const [group] = facts.groups;
  if (group) {
    if (group.keyword === 'oneOf') throw refused(group.path, 'is not supported for texts between tags');
    return builder.choice(
      compiler.branches(facts, group).map((branch) => textNode(text, compiler, tags, branch)),
    );
  }
  if (!facts.types.has('string')) return builder.choice([]);
  const any = builder.chars([[0, lastCodePoint]]);
  const end = textOf(close)?.trim();
  if (facts.values) {
    const values = facts.values.filter(
      (value): value is string =>
        typeof value === 'string' && textFits(facts, value) && !(end && value.includes(end)),
    );
    return builder.choice(values.map((value) => builder.literal(value)));
  }
  const [least, most] = facts.length;
  const upTo = most === Number.POSITIVE_INFINITY ? undefined : most;
  if (upTo !== undefined && upTo < least) return builder.choice([]);
  const all = facts.patterns.map(({ pattern, path, search, negated }) => {
    const node = regexNode(builder, pattern, { search, name: `The schema's ${path}` });
    return negated ? builder.subtract(builder.repeat(any, 0), node) : node;
  });
  if (all.length === 0 || least > 0 || upTo !== undefined) all.push(builder.repeat(any, least, upTo));
  const body = builder.intersect(all);
  const without = facts.excluded.flatMap(({ value }) =>
    typeof value === 'string' ? [builder.literal(value)] : [],
  );
  if (end) {
    const around = builder.repeat(any, 0);
    without.push(builder.sequence([around, builder.literal(end), around]));
  }
  return without.length > 0 ? builder.subtract(body, builder.choice(without)) : body;
}
