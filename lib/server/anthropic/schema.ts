/** The body of /v1/messages, and its way to options of `generate`. */
import * as v from 'valibot';
import type { GenerateOptions } from '../../options.js';
import type { Call } from '../call.js';
import { invalid } from '../failure.js';
import { bool, count, fraction, integer, metadata, range, text } from '../fields.js';
import { withoutThinking } from '../template-variables.js';
import { messagesSchema, systemSchema } from './messages.js';

const tool = v.strictObject({
  type: v.optional(v.literal('custom')),
  name: text,
  description: v.optional(text),
  input_schema: v.record(v.string(), v.unknown()),
  cache_control: v.optional(v.nullable(v.looseObject({ type: v.string() }))),
});

const toolChoice = v.variant('type', [
  v.strictObject({ type: v.literal('auto'), disable_parallel_tool_use: v.optional(v.literal(false)) }),
  v.strictObject({ type: v.literal('any'), disable_parallel_tool_use: v.optional(v.literal(false)) }),
  v.strictObject({
    type: v.literal('tool'),
    name: text,
    disable_parallel_tool_use: v.optional(v.literal(false)),
  }),
  v.strictObject({ type: v.literal('none') }),
]);

const thinking = v.variant('type', [
  v.strictObject({
    type: v.literal('enabled'),
    budget_tokens: integer(0, 2 ** 31 - 1),
    display: v.optional(text),
  }),
  v.strictObject({ type: v.literal('adaptive'), display: v.optional(text) }),
  v.strictObject({ type: v.literal('disabled') }),
]);

/** What a conversation consists of; all of it counts for `count_tokens`. */
const conversationFields = {
  model: v.optional(text),
  messages: messagesSchema,
  system: v.optional(systemSchema),
  tools: v.optional(v.array(tool)),
  tool_choice: v.optional(toolChoice),
  thinking: v.optional(thinking),
};

export const countSchema = v.strictObject(conversationFields);
export const messageSchema = v.strictObject({
  ...conversationFields,
  max_tokens: count,
  stop_sequences: v.optional(v.pipe(v.array(v.pipe(text, v.minLength(1))), v.maxLength(64))),
  temperature: v.optional(range(0, 1)),
  top_p: v.optional(fraction),
  top_k: v.optional(integer(0, Number.MAX_SAFE_INTEGER)),
  stream: v.optional(bool),
  metadata: v.optional(metadata),
  service_tier: v.optional(v.picklist(['auto', 'standard_only'])),
});

export type CountBody = v.InferOutput<typeof countSchema>;
export type MessageBody = v.InferOutput<typeof messageSchema>;

/** Options that shape the prompt. Throws a Failure. */
export function conversationOptions({ tools = [], tool_choice, thinking }: CountBody): GenerateOptions {
  const options: GenerateOptions = {};
  if (thinking?.type === 'enabled') options.reasoning = { budget: thinking.budget_tokens };
  if (tools.length === 0) {
    if (tool_choice?.type === 'any' || tool_choice?.type === 'tool') {
      throw invalid("tool_choice needs 'tools'.", 'tool_choice', 'invalid_value');
    }
    return options;
  }
  options.tools = tools.map(({ name, description, input_schema }) => ({
    name,
    ...(description === undefined ? {} : { description }),
    parameters: input_schema,
  }));
  options.toolChoice = choiceOf(tool_choice);
  return options;
}

function choiceOf(choice: CountBody['tool_choice']): GenerateOptions['toolChoice'] {
  if (choice === undefined) return 'auto';
  if (choice.type === 'tool') return { name: choice.name };
  return choice.type === 'any' ? 'required' : choice.type;
}

export function variablesOf({ thinking }: CountBody, call: Call): Record<string, unknown> {
  return thinking?.type === 'disabled' ? withoutThinking(call) : {};
}

/** Throws a Failure. */
export function messageOptions(body: MessageBody): GenerateOptions {
  const { max_tokens, temperature, top_p, top_k, stop_sequences } = body;
  const options: GenerateOptions = {
    ...conversationOptions(body),
    maxTokens: max_tokens,
    temperature,
    topP: top_p,
    topK: top_k,
    stop: stop_sequences,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
