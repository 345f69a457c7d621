/** `response_format` of OpenAI's chat, and `text.format` of its responses: what an answer has to be. */
import * as v from 'valibot';
import type { GenerateOptions } from '../options.js';
import { bool, text } from './fields.js';

const schema = v.record(v.string(), v.unknown());
const strict = v.optional(v.nullable(bool));

export const responseFormatSchema = v.variant('type', [
  v.strictObject({ type: v.literal('text') }),
  v.strictObject({ type: v.literal('json_object') }),
  v.strictObject({
    type: v.literal('json_schema'),
    json_schema: v.strictObject({
      name: text,
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

type Format = v.InferOutput<typeof responseFormatSchema> | v.InferOutput<typeof textFormatSchema>;

/** Every schema is enforced, `strict` or not. Of a format without one any object will do. */
export function formatOptions(format: Format | undefined): Pick<GenerateOptions, 'responseFormat'> {
  if (format === undefined || format.type === 'text') return {};
  const given =
    format.type === 'json_object'
      ? undefined
      : 'json_schema' in format
        ? format.json_schema.schema
        : format.schema;
  return { responseFormat: { type: 'json', schema: given ?? { type: 'object' } } };
}
