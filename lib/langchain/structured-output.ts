/** `withStructuredOutput`: a model that is held to a schema, and the parser behind it. */
import type {
  BaseLanguageModelInput,
  StructuredOutputMethodOptions,
} from '@langchain/core/language_models/base';
import {
  assembleStructuredOutputPipeline,
  createContentParser,
  createFunctionCallingParser,
} from '@langchain/core/language_models/structured_output';
import type { BindToolsInput } from '@langchain/core/language_models/chat_models';
import type { BaseMessage } from '@langchain/core/messages';
import type { Runnable } from '@langchain/core/runnables';
import { type JSONSchema, toJsonSchema } from '@langchain/core/utils/json_schema';
import { isSerializableSchema, type SerializableSchema } from '@langchain/core/utils/standard_schema';
import { type InteropZodType, isInteropZodSchema } from '@langchain/core/utils/types';
import { invalidOption } from '../given.js';

// biome-ignore lint/suspicious/noExplicitAny: as LangChain has it, interfaces fit
type Fields = Record<string, any>;
/** What it needs of a chat model. */
interface Bindable {
  bindTools(tools: BindToolsInput[], kwargs: object): Runnable<BaseLanguageModelInput>;
  withConfig(config: object): Runnable<BaseLanguageModelInput>;
}

/** Of zod, of another library of the Standard Schema, or a JSON Schema. */
export type OutputSchema<Output extends Fields> =
  | InteropZodType<Output>
  | SerializableSchema<Output>
  | Fields;

/** Throws INVALID_OPTION for a method that is not known, or strict calls. */
export function structuredOutput<Output extends Fields>(
  model: Bindable,
  schema: OutputSchema<Output>,
  { name, method = 'jsonSchema', includeRaw, strict }: StructuredOutputMethodOptions<boolean>,
):
  | Runnable<BaseLanguageModelInput, Output>
  | Runnable<BaseLanguageModelInput, { raw: BaseMessage; parsed: Output }> {
  const { json, ownName, description } = describe(schema);
  const called = name ?? ownName ?? 'extract';
  const format = { ls_structured_output_format: { kwargs: { method }, schema: json as JSONSchema } };
  const runName = 'StructuredOutput';
  if (method === 'functionCalling') {
    if (strict) throw invalidOption('strict', strict, "absent with 'functionCalling': use 'jsonSchema'");
    const tool = { type: 'function', function: { name: called, description, parameters: json } };
    const llm = model.bindTools([tool], { tool_choice: called, ...format });
    return assembleStructuredOutputPipeline(
      llm,
      createFunctionCallingParser<Output>(schema, called),
      includeRaw,
      runName,
    );
  }
  if (method !== 'jsonSchema' && method !== 'jsonMode') {
    throw invalidOption('method', method, "'jsonSchema', 'functionCalling' or 'jsonMode'");
  }
  const enforced = method === 'jsonMode' ? { type: 'object' } : json;
  const llm = model.withConfig({ responseFormat: { type: 'json', schema: enforced }, ...format });
  return assembleStructuredOutputPipeline(llm, createContentParser<Output>(schema), includeRaw, runName);
}

/** JSON Schema of any of them; OpenAI's { name, parameters } has it inside. */
function describe(schema: OutputSchema<Fields>) {
  if (isInteropZodSchema(schema) || isSerializableSchema(schema)) {
    const json = toJsonSchema(schema) as Fields;
    return { json, ownName: undefined, description: json.description as string | undefined };
  }
  const { name, title, description, parameters } = schema as Fields;
  const json = typeof name === 'string' && typeof parameters === 'object' ? (parameters as Fields) : schema;
  return {
    json,
    ownName: (name ?? title) as string | undefined,
    description: description as string | undefined,
  };
}
