/** The option `responseFormat`: what it may be, read once into plain data, and the grammar that it asks for. */
import { KvasirError } from '../errors.js';
import { invalidOption, parseOptions, plainData, type Rule, reading, show } from '../given.js';
import { gbnfNode } from './gbnf.js';
import type { GrammarBuilder, Node } from './grammar.js';
import { regexNode } from './regex.js';
import { schemaNode } from './schema-compiler.js';
import { jsonSchemaOf } from './standard-schema.js';

/** What the whole answer must be. */
export type ResponseFormat =
  /**
   * An instance of a JSON Schema (2020-12), or of a schema of zod or another library of the Standard Schema. Members come in
   * declared order.
   */
  | { type: 'json'; schema?: unknown }
  /** A text that a regular expression matches as a whole. */
  | { type: 'regex'; pattern: string }
  /** A text of a GBNF grammar. */
  | { type: 'grammar'; grammar: string }
  /** One of these texts. */
  | { type: 'choice'; choices: readonly string[] };

/** UTF-16 units of a pattern, a grammar or all choices. */
const longest = 2 ** 20;
const mostChoices = 10_000;

const text: Rule = {
  fits: (v) => typeof v === 'string' && v.length <= longest && v.isWellFormed(),
  allowed: `a well-formed string of at most ${longest} characters`,
};
const kind: Rule = { fits: (v) => typeof v === 'string', allowed: 'a string' };
const choices: Rule = {
  copy: (v) => (Array.isArray(v) && v.length <= mostChoices ? Array.from(v) : v),
  fits: (v) => {
    if (!Array.isArray(v) || v.length === 0 || v.length > mostChoices) return false;
    if (!v.every((one) => text.fits(one) && one !== '')) return false;
    return v.reduce((sum: number, one: string) => sum + one.length, 0) <= longest;
  },
  allowed: `an array of 1 to ${mostChoices} non-empty, well-formed strings`,
};
const schema: Rule = {
  copy: (v) => plainData(jsonSchemaOf(v), 'responseFormat.schema'),
  fits: (v) => typeof v === 'boolean' || (typeof v === 'object' && v !== null && !Array.isArray(v)),
  allowed: 'a JSON Schema: an object, true or false',
};
const formats: Readonly<Record<string, Record<string, Rule>>> = {
  json: { type: kind, schema },
  regex: { type: kind, pattern: text },
  grammar: { type: kind, grammar: text },
  choice: { type: kind, choices },
};

function read(given: unknown): unknown {
  if (typeof given !== 'object' || given === null) return given;
  const type = reading('responseFormat', () => (given as { type?: unknown }).type);
  if (typeof type !== 'string' || !Object.hasOwn(formats, type)) {
    throw invalidOption('responseFormat.type', type, "'json', 'regex', 'grammar' or 'choice'");
  }
  const format = parseOptions(formats[type], given, `responseFormat '${type}'`) as Record<string, unknown>;
  const missing = Object.keys(formats[type]).find((name) => name !== 'schema' && !(name in format));
  if (missing) throw invalidOption(`responseFormat.${missing}`, undefined, formats[type][missing].allowed);
  return format;
}

/** Of `generate`'s options. */
export const responseFormatRule: Rule = {
  copy: read,
  fits: (v) => typeof v === 'object' && v !== null,
  allowed: "an object { type: 'json' | 'regex' | 'grammar' | 'choice', ... }",
};

/** What may forbid every token that a structure allows. */
const notBeside = ['badWords', 'noRepeatNgram', 'minTokens', 'answerPrefix'];

/** Throws INVALID_OPTION for an option that does not go with `responseFormat`. */
export function checkBeside(options: { responseFormat?: ResponseFormat }): void {
  if (options.responseFormat === undefined) return;
  const option = notBeside.find((name) => name in options);
  if (option === undefined) return;
  throw new KvasirError(
    'INVALID_OPTION',
    `Option ${option} does not go with responseFormat: leave one of them out.`,
    { details: { option } },
  );
}

/** Throws INVALID_OPTION and LIMIT_EXCEEDED. */
export function formatNode(builder: GrammarBuilder, format: ResponseFormat): Node {
  switch (format.type) {
    case 'json':
      return schemaNode(builder, format.schema ?? true);
    case 'regex':
      return regexNode(builder, format.pattern, { name: 'The pattern' });
    case 'grammar':
      return gbnfNode(builder, format.grammar);
    case 'choice':
      return builder.choice(format.choices.map((choice) => builder.literal(choice)));
  }
}

/** What the finished text stands for. */
export function objectOf(format: ResponseFormat, text: string): unknown {
  if (format.type === 'json') return JSON.parse(text);
  if (format.type !== 'choice') return undefined;
  // White space between thoughts and the answer is no part of it.
  return (
    format.choices.find((choice) => choice === text) ??
    format.choices.find((choice) => choice.trim() === text.trim())
  );
}

/** How an error names a format. */
export function nameOf(format: ResponseFormat | undefined): string {
  return format ? `responseFormat ${show(format.type)}` : 'the option toolChoice';
}
