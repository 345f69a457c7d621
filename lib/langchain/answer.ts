/** Answers of `generate` as LangChain has them, whole and in chunks. */
import { AIMessage, AIMessageChunk, type UsageMetadata } from '@langchain/core/messages';
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs';
import type { GenerationChunk, GenerationResult } from '../engine/run.js';

/** Of one call; LangChain merges it into the message's `response_metadata`. */
function infoOf({ finishReason, timings, logprobs, closed }: GenerationResult, modelName: string) {
  return {
    model_provider: 'kvasir',
    model_name: modelName,
    finish_reason: finishReason,
    timings,
    ...(logprobs && { logprobs }),
    ...(closed === undefined ? {} : { closed }),
  };
}

function usageOf({
  usage: { promptTokens, completionTokens, cachedTokens },
}: GenerationResult): UsageMetadata {
  return {
    input_tokens: promptTokens,
    output_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    input_token_details: { cache_read: cachedTokens },
  };
}

/** Thoughts make the content a list of blocks; without any it is the text. */
export function chatResultOf(result: GenerationResult, modelName: string): ChatResult {
  const { text, reasoning, toolCalls = [] } = result;
  const blocks = [
    { type: 'reasoning' as const, reasoning: reasoning ?? '' },
    ...(text === '' ? [] : [{ type: 'text' as const, text }]),
  ];
  const message = new AIMessage({
    content: reasoning ? blocks : text,
    tool_calls: toolCalls
      .filter(({ error }) => error === undefined)
      .map(({ id, name, arguments: args }) => ({ type: 'tool_call', id, name, args })),
    invalid_tool_calls: toolCalls
      .filter(({ error }) => error !== undefined)
      .map(({ id, name, argumentsText: args, error }) => ({
        type: 'invalid_tool_call',
        id,
        name,
        args,
        error,
      })),
    usage_metadata: usageOf(result),
    response_metadata: infoOf(result, modelName),
  });
  return { generations: [{ text, message, generationInfo: { finish_reason: result.finishReason } }] };
}

/** Chunks of one answer: blocks of its content are numbered as soon as it has thoughts, so that they merge. */
export class ChunkWriter {
  #blocks = 0;
  #open: string | undefined;

  chunkOf(chunk: GenerationChunk): ChatGenerationChunk {
    if (chunk.type === 'tool-call') {
      const { index, id, name, arguments: args } = chunk;
      const part = { type: 'tool_call_chunk' as const, index, id, name, args };
      return this.#chunk('', new AIMessageChunk({ content: '', tool_call_chunks: [part] }));
    }
    const { type, text } = chunk;
    if (type === 'text' && this.#blocks === 0) return this.#chunk(text, new AIMessageChunk(text));
    if (this.#open !== type) this.#blocks++;
    this.#open = type;
    const index = this.#blocks - 1;
    const block = type === 'text' ? { type, text, index } : { type, reasoning: text, index };
    return this.#chunk(type === 'text' ? text : '', new AIMessageChunk({ content: [block] }));
  }

  /** Figures, behind the last text. */
  endOf(result: GenerationResult, modelName: string): ChatGenerationChunk {
    const message = new AIMessageChunk({
      content: '',
      usage_metadata: usageOf(result),
      response_metadata: infoOf(result, modelName),
    });
    return this.#chunk('', message);
  }

  #chunk(text: string, message: AIMessageChunk): ChatGenerationChunk {
    return new ChatGenerationChunk({ text, message });
  }
}
