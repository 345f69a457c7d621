/** Tools as callers define them, and how a model is to use them: checked and copied at the call. */
import { KvasirError } from '../errors.js';
import {
  integer,
  invalidOption,
  isRecord,
  oneOf,
  parseOptions,
  plainData,
  type Rule,
  reading,
  show,
} from '../given.js';

/** A function that a model may call, as OpenAI's API has it. */
export interface FunctionTool {
  type: 'function';
  function: ToolFunction;
}

export interface ToolFunction {
  /** 1 to 128 letters, digits, `_`, `-`, `.` or `:`. Of one request no two are the same. */
  name: string;
  /** What the tool does, for the model. */
  description?: string;
  /** JSON Schema of the arguments, an object's. Default: no arguments. */
  parameters?: Record<string, unknown>;
  /**
   * true: the arguments are what `parameters` says, or the request is refused with the keyword that cannot be enforced. false:
   * the model writes what it likes. Default: enforced where that can be done, else any JSON object.
   */
  strict?: boolean;
  /** What else a chat template may know, such as `return`. */
  [field: string]: unknown;
}

/** A tool in OpenAI's form, or its function alone. */
export type ToolDefinition = FunctionTool | ToolFunction;

/** `auto`: the model decides. `none`: it is told no tools. `required`: it calls at least one. `{ name }`: it calls this one. */
export type ToolChoice = 'auto' | 'none' | 'required' | { name: string };

/**
 * `template`: as the model's chat template has it, else INVALID_OPTION. `generic`: a format of our own, told in the system
 * message. `auto`: the template's where it has a known one, else ours.
 */
export type ToolFormat = 'auto' | 'template' | 'generic';

const mostTools = 1024;
const goodName = /^[\w.:-]{1,128}$/;
const noArguments = { type: 'object', properties: {} };

/** Throws INVALID_OPTION. */
function checkedTool(plain: unknown, i: number): FunctionTool {
  const where = `tools[${i}]`;
  if (!isRecord(plain)) throw invalidOption(where, plain, 'an object');
  if (plain.type !== undefined && plain.type !== 'function') {
    throw invalidOption(`${where}.type`, plain.type, "'function'");
  }
  const isWrapped = isRecord(plain.function);
  const { type: _type, ...alone } = plain;
  const definition = isWrapped ? (plain.function as Record<string, unknown>) : alone;
  const { name, description, parameters, strict } = definition;
  if (typeof name !== 'string' || !goodName.test(name)) {
    throw invalidOption(`${where}.name`, name, '1 to 128 letters, digits, _, -, . or :');
  }
  if (description !== undefined && typeof description !== 'string') {
    throw invalidOption(`${where}.description`, description, 'a string');
  }
  if (parameters !== undefined && !isRecord(parameters)) {
    throw invalidOption(`${where}.parameters`, parameters, 'a JSON Schema: an object');
  }
  if (strict !== undefined && strict !== null && typeof strict !== 'boolean') {
    throw invalidOption(`${where}.strict`, strict, 'true or false');
  }
  const whole = { ...definition, name, ...(parameters === undefined ? { parameters: noArguments } : {}) };
  return { ...(isWrapped ? plain : {}), type: 'function', function: whole };
}

/** A copy in OpenAI's form. Throws INVALID_OPTION. */
export function readTools(given: readonly unknown[]): FunctionTool[] {
  return reading('tools', () => {
    if (given.length > mostTools)
      throw invalidOption('tools', `${given.length} tools`, `at most ${mostTools}`);
    const tools = (plainData(given, 'tools') as unknown[]).map(checkedTool);
    const names = new Set<string>();
    for (const { function: one } of tools) {
      if (names.has(one.name))
        throw invalidOption('tools', `two of the name ${one.name}`, 'tools of different names');
      names.add(one.name);
    }
    return tools;
  });
}

export const toolsRule: Rule = {
  copy: (v) => (Array.isArray(v) ? readTools(v) : v),
  fits: Array.isArray,
  allowed: 'an array of { name, description, parameters }',
};

const choices = ['auto', 'none', 'required'];
const toolChoice: Rule = {
  copy: (v) => (isRecord(v) ? { ...v } : v),
  fits: (v) =>
    choices.includes(v as string) ||
    (isRecord(v) && Object.keys(v).length === 1 && typeof v.name === 'string'),
  allowed: "'auto', 'none', 'required' or { name }",
};

/** How thoughts are told apart. */
export interface ReasoningOptions {
  /** Most tokens of thoughts: where they are used up, the thoughts are ended and the answer begins. Default: no bound. */
  budget?: number;
}

const reasoningRules = { budget: integer(0, 2 ** 31 - 1) } satisfies Record<keyof ReasoningOptions, Rule>;
const reasoning: Rule = {
  copy: (v) => (isRecord(v) ? parseOptions(reasoningRules, v, 'reasoning') : v),
  fits: (v) => typeof v === 'boolean' || isRecord(v),
  allowed: 'true, false or { budget }',
};

/** The options of `generate` that need a conversation. */
export interface ChatOptions {
  /** Functions that the model may call: `result.toolCalls`. Default: none. */
  tools?: readonly ToolDefinition[];
  /** Default 'auto'. */
  toolChoice?: ToolChoice;
  /** How tools are told and calls are written. Default 'auto'. */
  toolFormat?: ToolFormat;
  /**
   * Tell thoughts apart where the model's chat template has markers for them: `result.reasoning`, and chunks of that type.
   * false: they stay in the text, markers and all. Default true.
   */
  reasoning?: boolean | ReasoningOptions;
}

export const chatRules = {
  tools: toolsRule,
  toolChoice,
  toolFormat: oneOf('auto', 'template', 'generic'),
  reasoning,
} satisfies Record<keyof ChatOptions, Rule>;

/** Checked, and every default filled in but that of the tools. */
export interface ChatSettings {
  tools: readonly FunctionTool[] | undefined;
  toolChoice: ToolChoice;
  toolFormat: ToolFormat;
  reasoning: { budget?: number } | undefined;
  /** Some of these options was given. */
  isAsked: boolean;
}

export function chatSettings(given: ChatOptions): ChatSettings {
  const { tools, toolChoice: choice, toolFormat, reasoning: thoughts } = given;
  return {
    tools: tools as readonly FunctionTool[] | undefined,
    toolChoice: choice ?? 'auto',
    toolFormat: toolFormat ?? 'auto',
    reasoning: thoughts === false ? undefined : thoughts === true ? {} : (thoughts ?? {}),
    isAsked: [tools, choice, toolFormat, thoughts].some((option) => option !== undefined),
  };
}

/** The tools that a model is told. Throws INVALID_OPTION for a choice that cannot be. */
export function chosenTools(tools: readonly FunctionTool[], choice: ToolChoice): readonly FunctionTool[] {
  if (choice === 'none') return [];
  if (choice === 'auto') return tools;
  if (tools.length === 0) {
    throw new KvasirError('INVALID_OPTION', `toolChoice ${show(choice)} needs tools to choose from.`, {
      details: { option: 'toolChoice' },
    });
  }
  if (choice === 'required' || tools.some(({ function: { name } }) => name === choice.name)) return tools;
  const names = tools.map(({ function: { name } }) => name).join(', ');
  throw invalidOption('toolChoice', choice.name, `the name of one of the tools: ${names}`);
}
