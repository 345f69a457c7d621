/**
 * The same models under specification V3, which `ai` 6 has. What V4 added to a call is absent there, and of what it added to
 * an answer these models give nothing.
 */
import type { EmbeddingModelV3, LanguageModelV3, RerankingModelV3 } from '@ai-sdk/provider';
import type { KvasirLanguageModel } from './language-model.js';
import type { KvasirEmbeddingModel, KvasirRerankingModel } from './text-models.js';

export function languageModelV3(model: KvasirLanguageModel): LanguageModelV3 {
  const { provider, modelId, supportedUrls } = model;
  return {
    specificationVersion: 'v3',
    provider,
    modelId,
    supportedUrls,
    doGenerate: (call) => model.doGenerate(call as never) as ReturnType<LanguageModelV3['doGenerate']>,
    doStream: (call) => model.doStream(call as never) as ReturnType<LanguageModelV3['doStream']>,
  };
}

export function embeddingModelV3(model: KvasirEmbeddingModel): EmbeddingModelV3 {
  const { provider, modelId, maxEmbeddingsPerCall, supportsParallelCalls } = model;
  return {
    specificationVersion: 'v3',
    provider,
    modelId,
    maxEmbeddingsPerCall,
    supportsParallelCalls,
    doEmbed: (call) => model.doEmbed(call as never) as ReturnType<EmbeddingModelV3['doEmbed']>,
  };
}

export function rerankingModelV3(model: KvasirRerankingModel): RerankingModelV3 {
  const { provider, modelId } = model;
  return {
    specificationVersion: 'v3',
    provider,
    modelId,
    doRerank: (call) => model.doRerank(call) as ReturnType<RerankingModelV3['doRerank']>,
  };
}
