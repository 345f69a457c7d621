/** The body of /v1/responses, and its way to a conversation and to options of `generate`. */
import * as v from 'valibot';
import type { GenerateOptions } from '../../options.js';
import type { Message } from '../../prompt.js';
import { type Failure, invalid } from '../failure.js';
import { bool, callerFields, count, fraction, range, text } from '../fields.js';
import { formatOptions, textFormatSchema } from '../format.js';
import { functionFields, functionOf } from '../function-tools.js';

const part = v.looseObject({ type: v.string() });
const message = v.looseObject({
  type: v.optional(v.literal('message')),
  role: v.picklist(['user', 'assistant', 'system', 'developer']),
  content: v.union([text, v.array(part)]),
});
const call = v.looseObject({
  type: v.literal('function_call'),
  call_id: text,
  name: text,
  arguments: text,
});
const output = v.looseObject({
  type: v.literal('function_call_output'),
  call_id: text,
  output: v.union([text, v.array(part)]),
});
const thoughts = v.looseObject({
  type: v.literal('reasoning'),
  content: v.optional(v.nullable(v.array(part))),
});

const tool = v.strictObject({ type: v.literal('function'), ...functionFields });

export const responseSchema = v.strictObject({
  model: v.optional(text),
  input: v.union([text, v.pipe(v.array(v.union([call, output, thoughts, message])), v.minLength(1))]),
  instructions: v.optional(text),
  max_output_tokens: v.optional(count),
  temperature: v.optional(range(0, 100)),
  top_p: v.optional(fraction),
  stream: v.optional(bool),
  tools: v.optional(v.array(tool)),
  tool_choice: v.optional(
    v.union([
      v.picklist(['auto', 'none', 'required']),
      v.strictObject({ type: v.literal('function'), name: text }),
    ]),
  ),
  parallel_tool_calls: v.optional(v.literal(true)),
  reasoning: v.optional(
    v.strictObject({
      effort: v.optional(v.nullable(v.picklist(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']))),
    }),
  ),
  text: v.optional(v.strictObject({ format: v.optional(textFormatSchema) })),
  // Nothing is kept between requests.
  store: v.optional(v.literal(false)),
  truncation: v.optional(v.literal('disabled')),
  include: v.optional(v.pipe(v.array(text), v.maxLength(0))),
  service_tier: v.optional(v.picklist(['auto', 'default'])),
  ...callerFields,
});

export type ResponseBody = v.InferOutput<typeof responseSchema>;
type Item = Exclude<ResponseBody['input'], string>[number];
type Part = v.InferOutput<typeof part>;

/** Throws a Failure that names the part. */
export function conversation({ input, instructions }: ResponseBody): Message[] {
  const messages: Message[] = [];
  if (instructions !== undefined) messages.push({ role: 'system', content: instructions });
  if (typeof input === 'string') messages.push({ role: 'user', content: input });
  else for (const [i, item] of input.entries()) addItem(messages, item, `input[${i}]`);
  return messages;
}

function addItem(messages: Message[], item: Item, where: string): void {
  if ('role' in item) {
    const { role, content } = item as v.InferOutput<typeof message>;
    const whole = textOf(content, `${where}.content`);
    if (role === 'assistant') Object.assign(answerOf(messages), { content: whole });
    else messages.push({ role: role === 'developer' ? 'system' : role, content: whole });
  } else if (item.type === 'function_call') {
    const { call_id: id, name, arguments: given } = item as v.InferOutput<typeof call>;
    const message = answerOf(messages, true);
    const calls = (message.tool_calls ?? []) as unknown[];
    message.tool_calls = [...calls, { id, type: 'function', function: { name, arguments: given } }];
  } else if (item.type === 'function_call_output') {
    const { call_id, output: given } = item as v.InferOutput<typeof output>;
    messages.push({ role: 'tool', tool_call_id: call_id, content: textOf(given, `${where}.output`) });
  } else {
    const { content } = item as v.InferOutput<typeof thoughts>;
    const message = answerOf(messages);
    if (content) message.reasoning_content = textOf(content, `${where}.content`);
  }
}

/** The message of the assistant that thoughts, text and calls belong to: the last one while it has room for them. */
function answerOf(messages: Message[], forCall = false): Message {
  const last = messages.at(-1);
  if (last?.role === 'assistant' && (forCall || (last.content === '' && last.tool_calls === undefined))) {
    return last;
  }
  const message: Message = { role: 'assistant', content: '' };
  messages.push(message);
  return message;
}

const textTypes = ['input_text', 'output_text', 'text', 'reasoning_text'];

function textOf(content: string | readonly Part[], where: string): string {
  if (typeof content === 'string') return content;
  const texts = content.map((one, i) => {
    const { type, text: given } = one as { type: string; text?: unknown };
    if (textTypes.includes(type) && typeof given === 'string') return given;
    throw noText(type, `${where}[${i}]`);
  });
  return texts.join('\n');
}

function noText(type: string, where: string): Failure {
  const shown = type.slice(0, 40);
  return invalid(`A part of type '${shown}' is no text, and the model takes text only.`, where, 'text_only');
}

/** Throws a Failure. */
export function responseOptions(body: ResponseBody, maxTokens: number): GenerateOptions {
  const { tools = [], tool_choice } = body;
  const options: GenerateOptions = {
    maxTokens: body.max_output_tokens ?? maxTokens,
    ...formatOptions(body.text?.format),
  };
  if (body.temperature !== undefined) options.temperature = body.temperature;
  if (body.top_p !== undefined) options.topP = body.top_p;
  if (tools.length > 0) {
    options.tools = tools.map(functionOf);
    options.toolChoice =
      typeof tool_choice === 'object' ? { name: tool_choice.name } : (tool_choice ?? 'auto');
  } else if (tool_choice === 'required' || typeof tool_choice === 'object') {
    throw invalid("tool_choice needs 'tools'.", 'tool_choice', 'invalid_value');
  }
  return options;
}
