/** From loaded models to models of the AI SDK, one by one or as a provider that knows them by name. */
import type {
  EmbeddingModelV3,
  EmbeddingModelV4,
  Experimental_DecisionModelV4,
  LanguageModelV3,
  LanguageModelV4,
  ProviderV4,
  RerankingModelV3,
  RerankingModelV4,
} from '@ai-sdk/provider';
import { copiedOptions, type ModelSettings, readSettings } from '../adapters/settings.js';
import { chatSource, loadedModel } from '../adapters/source.js';
import { KvasirError } from '../errors.js';
import { invalidOption, reading } from '../given.js';
import type { Model } from '../model.js';
import { KvasirDecisionModel } from './decision-model.js';
import { KvasirLanguageModel } from './language-model.js';
import {
  type EmbeddingSettings,
  KvasirEmbeddingModel,
  KvasirRerankingModel,
  type RerankingSettings,
} from './text-models.js';
import { embeddingModelV3, languageModelV3, rerankingModelV3 } from './v3.js';

/** All of them throw INVALID_OPTION for what is no loaded model. The model stays its caller's to dispose of. */
export interface Kvasir {
  /** @param settings options of `generate` for all calls. */
  (model: Model, settings?: ModelSettings): LanguageModelV4;
  languageModel(model: Model, settings?: ModelSettings): LanguageModelV4;
  embeddingModel(model: Model, settings?: EmbeddingSettings): EmbeddingModelV4;
  rerankingModel(model: Model, settings?: RerankingSettings): RerankingModelV4;
  decisionModel(model: Model): Experimental_DecisionModelV4;
}

/** For `ai` 6. */
export interface KvasirV3 {
  (model: Model, settings?: ModelSettings): LanguageModelV3;
  languageModel(model: Model, settings?: ModelSettings): LanguageModelV3;
  embeddingModel(model: Model, settings?: EmbeddingSettings): EmbeddingModelV3;
  rerankingModel(model: Model, settings?: RerankingSettings): RerankingModelV3;
}

const languageModel = (model: Model, settings?: ModelSettings) =>
  new KvasirLanguageModel(chatSource(loadedModel(model)), readSettings(settings, 'kvasir'));
const embeddingModel = (model: Model, settings?: EmbeddingSettings) =>
  new KvasirEmbeddingModel(loadedModel(model), copiedOptions(settings, 'embeddingModel'));
const rerankingModel = (model: Model, settings?: RerankingSettings) =>
  new KvasirRerankingModel(loadedModel(model), copiedOptions(settings, 'rerankingModel'));
const decisionModel = (model: Model) => new KvasirDecisionModel(loadedModel(model));

/**
 * A loaded model for `generateText`, `streamText` and the like of `ai` 7: `kvasir(model)`; for `embed`, `rerank` and
 * `experimental_decide` `kvasir.embeddingModel(model)`, `kvasir.rerankingModel(model)`, `kvasir.decisionModel(model)`.
 */
export const kvasir: Kvasir = Object.assign(
  (model: Model, settings?: ModelSettings) => languageModel(model, settings),
  { languageModel, embeddingModel, rerankingModel, decisionModel },
);

/** The same for `ai` 6, which has specification V3. */
export const kvasirV3: KvasirV3 = Object.assign(
  (model: Model, settings?: ModelSettings) => languageModelV3(languageModel(model, settings)),
  {
    languageModel: (model: Model, settings?: ModelSettings) =>
      languageModelV3(languageModel(model, settings)),
    embeddingModel: (model: Model, settings?: EmbeddingSettings) =>
      embeddingModelV3(embeddingModel(model, settings)),
    rerankingModel: (model: Model, settings?: RerankingSettings) =>
      rerankingModelV3(rerankingModel(model, settings)),
  },
);

export interface KvasirProvider extends ProviderV4 {
  (modelId: string): LanguageModelV4;
  rerankingModel(modelId: string): RerankingModelV4;
  decisionModel(modelId: string): Experimental_DecisionModelV4;
}

/**
 * A provider for `createProviderRegistry` and the SDK's default provider: loaded models under names of the caller's.
 * @throws INVALID_OPTION; its methods throw MODEL_NOT_FOUND for a name that is not there.
 */
export function createKvasir(models: Readonly<Record<string, Model>>): KvasirProvider {
  if (typeof models !== 'object' || models === null)
    throw invalidOption('models', models, 'an object of loaded models');
  const entries = reading('The models', () => Object.entries(models));
  const byName = new Map(entries.map(([name, model]) => [name, loadedModel(model)]));
  const find = (modelId: string): Model => {
    const found = byName.get(modelId);
    if (found !== undefined) return found;
    const known = [...byName.keys()].join(', ');
    throw new KvasirError(
      'MODEL_NOT_FOUND',
      `There is no model '${String(modelId)}' here. There are: ${known}.`,
    );
  };
  return Object.assign((modelId: string) => languageModel(find(modelId)), {
    specificationVersion: 'v4' as const,
    languageModel: (modelId: string) => languageModel(find(modelId)),
    embeddingModel: (modelId: string) => embeddingModel(find(modelId)),
    rerankingModel: (modelId: string) => rerankingModel(find(modelId)),
    decisionModel: (modelId: string) => decisionModel(find(modelId)),
    imageModel: (): never => {
      throw new KvasirError('MODEL_NOT_FOUND', 'Kvasir has no models of images.');
    },
  });
}
