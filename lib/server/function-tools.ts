/** Functions as tools, as OpenAI's protocols have them: in a chat and in a response they differ only in what is around them. */
import * as v from 'valibot';
import type { ToolFunction } from '../tools/definitions.js';
import { bool, text } from './fields.js';

export const functionFields = {
  name: text,
  description: v.optional(v.nullable(text)),
  parameters: v.optional(v.nullable(v.record(v.string(), v.unknown()))),
  strict: v.optional(v.nullable(bool)),
};

type FunctionBody = v.InferOutput<v.StrictObjectSchema<typeof functionFields, undefined>>;

export function functionOf({ name, description, parameters, strict }: FunctionBody): ToolFunction {
  return {
    name,
    ...(description ? { description } : {}),
    ...(parameters ? { parameters } : {}),
    ...(strict ? { strict } : {}),
  };
}
