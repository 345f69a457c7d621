/** A loaded model as an embedding model and as a reranking model of the AI SDK (specification V4). */
import type {
  EmbeddingModelV4,
  EmbeddingModelV4CallOptions,
  EmbeddingModelV4Result,
  RerankingModelV4,
  RerankingModelV4CallOptions,
  RerankingModelV4Result,
  SharedV4Warning,
} from '@ai-sdk/provider';
import type { EmbedOptions } from '../embed/embed-options.js';
import type { RerankOptions } from '../classify/rerank.js';
import type { Model } from '../model.js';
import { ownOptions } from './call.js';

/** Those of `embed` that `providerOptions.kvasir` may hold too. */
export type EmbeddingSettings = Omit<EmbedOptions, 'signal' | 'dimensions'>;
/** Those of `rerank`. */
export type RerankingSettings = Omit<RerankOptions, 'signal' | 'topK'>;

export class KvasirEmbeddingModel implements EmbeddingModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'kvasir';
  readonly modelId: string;
  readonly maxEmbeddingsPerCall = Number.POSITIVE_INFINITY;
  readonly supportsParallelCalls = true;
  readonly #model: Model;
  readonly #settings: EmbeddingSettings;

  constructor(model: Model, settings: EmbeddingSettings) {
    this.#model = model;
    this.#settings = settings;
    this.modelId = model.info.name;
  }

  /** Rejects as `embed` does. */
  async doEmbed(call: EmbeddingModelV4CallOptions): Promise<EmbeddingModelV4Result> {
    const { values, dimensions, abortSignal: signal } = call;
    const own = ownOptions(call.providerOptions);
    const vectors = await this.#model.embed(values, { ...this.#settings, dimensions, ...own, signal });
    return {
      embeddings: vectors.map((vector) => Array.from(vector)),
      usage: { tokens: vectors.tokens },
      warnings: [],
    };
  }
}

export class KvasirRerankingModel implements RerankingModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'kvasir';
  readonly modelId: string;
  readonly #model: Model;
  readonly #settings: RerankingSettings;

  constructor(model: Model, settings: RerankingSettings) {
    this.#model = model;
    this.#settings = settings;
    this.modelId = model.info.name;
  }

  /** Rejects as `rerank` does. Documents that are objects are judged as their JSON. */
  async doRerank(call: RerankingModelV4CallOptions): Promise<RerankingModelV4Result> {
    const { documents, query, topN, abortSignal: signal } = call;
    const warnings: SharedV4Warning[] = [];
    if (documents.type === 'object') {
      warnings.push({
        type: 'compatibility',
        feature: 'documents that are objects',
        details: 'Their JSON is judged.',
      });
    }
    const texts = documents.values.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));
    const own = ownOptions(call.providerOptions);
    const ranked = await this.#model.rerank(query, texts, { ...this.#settings, topK: topN, ...own, signal });
    return { ranking: ranked.map(({ index, score }) => ({ index, relevanceScore: score })), warnings };
  }
}
