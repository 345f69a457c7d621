/** An answer of `generate` as the AI SDK has it. */
import { randomUUID } from 'node:crypto';
import type {
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4ResponseMetadata,
  LanguageModelV4Usage,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider';
import type { GenerationResult } from '../engine/run.js';

export function contentOf({ text, reasoning, toolCalls = [] }: GenerationResult): LanguageModelV4Content[] {
  const content: LanguageModelV4Content[] = [];
  if (reasoning) content.push({ type: 'reasoning', text: reasoning });
  if (text !== '') content.push({ type: 'text', text });
  for (const { id, name, argumentsText } of toolCalls) {
    // The SDK parses the arguments itself, and tells of those that are damaged.
    content.push({ type: 'tool-call', toolCallId: id, toolName: name, input: argumentsText });
  }
  return content;
}

const unifiedReasons = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool-calls',
  content_filter: 'content-filter',
  abort: 'other',
} as const;

export function finishReasonOf({ finishReason }: GenerationResult): LanguageModelV4FinishReason {
  return { unified: unifiedReasons[finishReason], raw: finishReason };
}

/** Thoughts are not counted apart. */
export function usageOf({ usage }: GenerationResult): LanguageModelV4Usage {
  const { promptTokens, completionTokens, cachedTokens } = usage;
  return {
    inputTokens: {
      total: promptTokens,
      noCache: promptTokens - cachedTokens,
      cacheRead: cachedTokens,
      cacheWrite: undefined,
    },
    outputTokens: { total: completionTokens, text: undefined, reasoning: undefined },
    raw: { ...usage },
  };
}

/** What the SDK has no field for: timings, log-probabilities where they were asked for, whether the text was closed early. */
export function metadataOf({ timings, logprobs, closed }: GenerationResult): SharedV4ProviderMetadata {
  const own = { timings, ...(logprobs && { logprobs }), ...(closed === undefined ? {} : { closed }) };
  return { kvasir: own as unknown as SharedV4ProviderMetadata[string] };
}

export function responseOf(modelId: string): Required<LanguageModelV4ResponseMetadata> {
  return { id: randomUUID(), timestamp: new Date(), modelId };
}

/** What an aborted call rejects with: the signal's reason where it says that it is an abort, as `fetch` would. */
export function abortErrorOf({ reason }: AbortSignal): unknown {
  const isNamed = reason instanceof Error && ['AbortError', 'TimeoutError'].includes(reason.name);
  return isNamed ? reason : new DOMException(`The call was aborted: ${String(reason)}`, 'AbortError');
}
