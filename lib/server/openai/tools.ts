/** Tools of a chat and the calls of its answer, as OpenAI's protocol has them. */
import * as v from 'valibot';
import type { GenerationChunk } from '../../engine/run.js';
import type { GenerateOptions } from '../../options.js';
import type { ToolCall } from '../../output/pieces.js';
import { invalid } from '../failure.js';
import { text } from '../fields.js';
import { functionFields, functionOf } from '../function-tools.js';

export const toolsSchema = v.array(
  v.strictObject({
    type: v.literal('function'),
    function: v.strictObject(functionFields),
  }),
);

export const toolChoiceSchema = v.union([
  v.picklist(['auto', 'none', 'required']),
  v.strictObject({ type: v.literal('function'), function: v.strictObject({ name: text }) }),
]);

export interface ToolFields {
  tools?: v.InferOutput<typeof toolsSchema>;
  tool_choice?: v.InferOutput<typeof toolChoiceSchema>;
  parallel_tool_calls?: boolean;
}

/** Throws a Failure for what cannot be promised. */
export function toolOptions({ tools, tool_choice, parallel_tool_calls }: ToolFields): GenerateOptions {
  if (tools === undefined || tools.length === 0) {
    if (tool_choice === undefined || typeof tool_choice === 'string') return {};
    throw invalid("tool_choice needs 'tools'.", 'tool_choice', 'invalid_value');
  }
  if (parallel_tool_calls === false) {
    throw invalid('How many calls there are cannot be bounded.', 'parallel_tool_calls', 'unsupported_value');
  }
  return {
    tools: tools.map((tool) => functionOf(tool.function)),
    toolChoice:
      typeof tool_choice === 'object' ? { name: tool_choice.function.name } : (tool_choice ?? 'auto'),
  };
}

export const callBody = ({ id, name, argumentsText }: ToolCall) => ({
  id,
  type: 'function',
  function: { name, arguments: argumentsText },
});

type CallChunk = Extract<GenerationChunk, { type: 'tool-call' }>;

/** A delta: the first one of a call has its id and name. */
export function callDelta({ index, id, name, arguments: more }: CallChunk) {
  const first = id === undefined ? {} : { id, type: 'function' };
  const called = name === undefined ? {} : { name };
  return { tool_calls: [{ index, ...first, function: { ...called, arguments: more } }] };
}
