/** A loaded model as a language model of the AI SDK (specification V4). */
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamResult,
} from '@ai-sdk/provider';
import type { ModelSettings } from '../adapters/settings.js';
import type { ChatSource } from '../adapters/source.js';
import { abortErrorOf, contentOf, finishReasonOf, metadataOf, responseOf, usageOf } from './answer.js';
import { type LanguageCall, languageCall } from './call.js';
import { streamOf } from './stream.js';

export class KvasirLanguageModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'kvasir';
  readonly modelId: string;
  /** Nothing is fetched, and text alone is taken. */
  readonly supportedUrls = {};
  readonly #source: ChatSource;
  readonly #settings: ModelSettings;

  constructor(source: ChatSource, settings: ModelSettings) {
    this.#source = source;
    this.#settings = settings;
    this.modelId = source.name;
  }

  /** Rejects as `generate` does, and with an AbortError where the call's signal ends it. */
  async doGenerate(call: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const asked = languageCall(this.#source, this.#settings, call);
    const result = await this.#start(asked);
    if (call.abortSignal?.aborted) throw abortErrorOf(call.abortSignal);
    return {
      content: contentOf(result),
      finishReason: finishReasonOf(result),
      usage: usageOf(result),
      providerMetadata: metadataOf(result),
      response: responseOf(this.modelId),
      warnings: asked.warnings,
    };
  }

  /** Resolves with the first token. Rejects as `doGenerate` does; what fails later is a part of the stream. */
  async doStream(call: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const asked = languageCall(this.#source, this.#settings, call);
    const stream = await streamOf({
      run: this.#start(asked),
      modelId: this.modelId,
      warnings: asked.warnings,
      signal: call.abortSignal,
      includeRaw: call.includeRawChunks === true,
    });
    return { stream };
  }

  #start({ messages, options, variables }: LanguageCall) {
    return this.#source.generate(messages, options, variables);
  }
}
