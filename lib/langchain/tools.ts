/** Tools and the choice among them as LangChain has them, as `generate` takes them. */
import type { BindToolsInput, ToolChoice as GivenChoice } from '@langchain/core/language_models/chat_models';
import { convertToOpenAITool } from '@langchain/core/utils/function_calling';
import { invalidOption, reading } from '../given.js';
import type { ToolChoice, ToolFunction } from '../tools/definitions.js';

/** Throws INVALID_OPTION for what is no tool, or asks for what is not promised. */
export function toolsOf(given: readonly BindToolsInput[]): ToolFunction[] {
  return given.map((tool, i) => reading(`tools[${i}]`, () => toolOf(tool as Record<string, unknown>, i)));
}

function toolOf(tool: Record<string, unknown>, i: number): ToolFunction {
  const { function: definition } = convertToOpenAITool(tool) as { function?: unknown } as {
    function?: Record<string, unknown>;
  };
  if (typeof definition !== 'object' || definition === null) {
    throw invalidOption(`tools[${i}]`, tool, "a tool of LangChain, or { type: 'function', function: {...} }");
  }
  const { name, description, parameters, strict } = definition;
  return {
    name: name as string,
    ...(description ? { description: description as string } : {}),
    ...(parameters ? { parameters: parameters as Record<string, unknown> } : {}),
    ...(typeof strict === 'boolean' ? { strict } : {}),
  };
}

/** Throws INVALID_OPTION. */
export function toolChoiceOf(given: GivenChoice | undefined): ToolChoice {
  if (given === undefined) return 'auto';
  if (typeof given === 'string') {
    if (given === 'any' || given === 'required') return 'required';
    return given === 'auto' || given === 'none' ? given : { name: given };
  }
  const { function: wrapped, name = (wrapped as { name?: unknown } | undefined)?.name } = given;
  if (typeof name === 'string') return { name };
  throw invalidOption('tool_choice', given, "'auto', 'any', 'none' or the name of a tool");
}
