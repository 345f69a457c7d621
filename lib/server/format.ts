/** `response_format` of OpenAI's chat, and `text.format` of its responses: what an answer has to be. */
import * as v from 'valibot';
import type { GenerateOptions } from '../options.js';
import { invalid } from './failure.js';
import { bool, text } from './fields.js';

const schema = v.record(v.string(), v.unknown());
const strict = v.optional(v.nullable(bool));

export const responseFormatSchema = v.variant('type', [
  v.strictObject({ type: v.literal('text') }),
  // llama.cpp takes a schema here too, and none of them needs a name.
  v.strictObject({ type: v.literal('json_object'), schema: v.optional(schema) }),
  v.strictObject({
    type: v.literal('json_schema'),
    json_schema: v.strictObject({
      name: v.optional(text),
      description: v.optional(text),
      schema: v.optional(schema),
      strict,
    }),
  }),
]);

/** The same, its fields one step less deep. */
export const textFormatSchema = v.variant('type', [
  v.strictObject({ type: v.literal('text') }),
  v.strictObject({ type: v.literal('json_object') }),
  v.strictObject({
    type: v.literal('json_schema'),
    name: text,
    description: v.optional(text),
    schema,
    strict,
  }),
]);

/** The same as llama.cpp has it, of chat and of completions. */
export const formatFields = { json_schema: v.optional(schema), grammar: v.optional(text) };

interface FormatBody {
  response_format?: v.InferOutput<typeof responseFormatSchema>;
  json_schema?: Record<string, unknown>;
  grammar?: string;
}

/** Throws a Failure for more than one format. */
export function formatOptionsOf(body: FormatBody): Pick<GenerateOptions, 'responseFormat'> {
  const { response_format, json_schema, grammar } = body;
  const names = (['response_format', 'json_schema', 'grammar'] as const).filter(
    (name) => body[name] !== undefined,
  );
  if (names.length > 1) throw invalid(`Give one of ${names.join(' and ')}.`, names[1], 'invalid_value');
  if (json_schema !== undefined) return { responseFormat: { type: 'json', schema: json_schema } };
  if (grammar !== undefined) return { responseFormat: { type: 'grammar', grammar } };
  return formatOptions(response_format);
}

type Format = v.InferOutput<typeof responseFormatSchema> | v.InferOutput<typeof textFormatSchema>;

/** Every schema is enforced, `strict` or not. Of a format without one any object will do. */
export function formatOptions(format: Format | undefined): Pick<GenerateOptions, 'responseFormat'> {
  if (format === undefined || format.type === 'text') return {};
  const given =
    'json_schema' in format ? format.json_schema.schema : 'schema' in format ? format.schema : undefined;
  return { responseFormat: { type: 'json', schema: given ?? { type: 'object' } } };
}
