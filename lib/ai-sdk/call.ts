/** What a call of the AI SDK asks for, as `generate` takes it. What cannot be done is a warning, as the SDK has it. */
import type { LanguageModelV4CallOptions, SharedV4ProviderOptions, SharedV4Warning } from '@ai-sdk/provider';
import {
  copiedOptions,
  DEFAULT_ANSWER_TOKENS,
  type ModelSettings,
  readSettings,
} from '../adapters/settings.js';
import type { ChatSource } from '../adapters/source.js';
import type { GenerateOptions } from '../options.js';
import { reasoningMarkers } from '../output/reasoning.js';
import type { Message } from '../prompt.js';
import type { ResponseFormat } from '../structure/response-format.js';
import { effortVariables } from '../tools/effort.js';
import { messagesOf } from './prompt.js';

export interface LanguageCall {
  messages: Message[];
  options: GenerateOptions;
  /** Of the chat template. */
  variables: Record<string, unknown>;
  warnings: SharedV4Warning[];
}

/**
 * Of an option that is given several times, that of `providerOptions.kvasir` counts, then the call's own, then that of the
 * model's settings. Throws INVALID_OPTION.
 */
export function languageCall(
  source: ChatSource,
  settings: ModelSettings,
  call: LanguageModelV4CallOptions,
): LanguageCall {
  const warnings: SharedV4Warning[] = [];
  const { templateVariables, ...options } = {
    maxTokens: DEFAULT_ANSWER_TOKENS,
    ...settings,
    ...samplingOf(call),
    ...readSettings(ownOptions(call.providerOptions), 'providerOptions.kvasir'),
  };
  return {
    messages: messagesOf(call.prompt),
    options: {
      ...options,
      ...toolsOf(call, warnings),
      ...formatOf(call.responseFormat),
      ...(call.abortSignal && { signal: call.abortSignal }),
    },
    variables: { ...effortOf(source, call.reasoning, warnings), ...templateVariables },
    warnings,
  };
}

/** What a caller says to this provider alone. Throws INVALID_OPTION. */
export function ownOptions(given: SharedV4ProviderOptions | undefined): Record<string, unknown> {
  return copiedOptions(given?.kvasir, 'providerOptions.kvasir');
}

function samplingOf(call: LanguageModelV4CallOptions): GenerateOptions {
  const options: GenerateOptions = {
    maxTokens: call.maxOutputTokens,
    temperature: call.temperature,
    topP: call.topP,
    topK: call.topK,
    presencePenalty: call.presencePenalty,
    frequencyPenalty: call.frequencyPenalty,
    seed: call.seed,
    stop: call.stopSequences,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function toolsOf({ tools = [], toolChoice }: LanguageModelV4CallOptions, warnings: SharedV4Warning[]) {
  const told = [];
  for (const tool of tools) {
    if (tool.type === 'provider') {
      warnings.push({ type: 'unsupported', feature: `the provider's tool ${tool.id}` });
      continue;
    }
    const { name, description, inputSchema, strict } = tool;
    told.push({
      name,
      ...(description ? { description } : {}),
      parameters: inputSchema as Record<string, unknown>,
      ...(typeof strict === 'boolean' ? { strict } : {}),
    });
  }
  if (told.length === 0) return {};
  const choice = toolChoice?.type === 'tool' ? { name: toolChoice.toolName } : (toolChoice?.type ?? 'auto');
  return { tools: told, toolChoice: choice };
}

/** Without a schema any JSON will do. */
function formatOf(format: LanguageModelV4CallOptions['responseFormat']): { responseFormat?: ResponseFormat } {
  if (format?.type !== 'json') return {};
  const { schema } = format;
  return { responseFormat: { type: 'json', ...(schema === undefined ? {} : { schema }) } };
}

function effortOf(
  { chatTemplate: template = '' }: ChatSource,
  effort: LanguageModelV4CallOptions['reasoning'],
  warnings: SharedV4Warning[],
): Record<string, unknown> {
  if (effort === undefined || effort === 'provider-default') return {};
  const variables = effortVariables(effort, template);
  if (variables !== undefined) return variables;
  // Who does not think need not be told to stop.
  if (effort !== 'none' || reasoningMarkers(template) !== undefined) {
    const details = "The model's chat template knows no effort of reasoning.";
    warnings.push({ type: 'unsupported', feature: `reasoning '${effort}'`, details });
  }
  return {};
}
