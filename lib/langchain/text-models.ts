/** A loaded model as embeddings and as a document compressor of LangChain. */
import { Document, type DocumentInterface } from '@langchain/core/documents';
import { Embeddings } from '@langchain/core/embeddings';
import { BaseDocumentCompressor } from '@langchain/core/retrievers/document_compressors';
import type { RerankOptions } from '../classify/rerank.js';
import type { EmbedOptions } from '../embed/embed-options.js';
import { copiedOptions } from '../adapters/settings.js';
import { loadedModel } from '../adapters/source.js';
import type { Model } from '../model.js';

export interface KvasirEmbeddingsFields extends Omit<EmbedOptions, 'signal' | 'onProgress'> {
  /** It stays its caller's to dispose of. */
  model: Model;
  /** `prompt` of queries: name of one of the model's own ('query'), or a text. Default: `prompt`. */
  queryPrompt?: string;
}

export class KvasirEmbeddings extends Embeddings {
  readonly model: Model;
  readonly #options: EmbedOptions;
  readonly #queryPrompt: string | undefined;

  /** @throws INVALID_OPTION for what is no model; its methods reject with it for a wrong option. */
  constructor(fields: KvasirEmbeddingsFields) {
    super({});
    const { model, queryPrompt, ...options } = copiedOptions(fields, 'KvasirEmbeddings');
    this.model = loadedModel(model);
    this.#options = options;
    this.#queryPrompt = queryPrompt;
  }

  /** Rejects as `embed` does. */
  override async embedDocuments(documents: string[]): Promise<number[][]> {
    if (documents.length === 0) return [];
    const vectors = await this.model.embed(documents, this.#options);
    return vectors.map((vector) => Array.from(vector));
  }

  /** Rejects as `embed` does. */
  override async embedQuery(query: string): Promise<number[]> {
    const prompt = this.#queryPrompt ?? this.#options.prompt;
    const [vector] = await this.model.embed(query, { ...this.#options, prompt });
    return Array.from(vector);
  }
}

export interface KvasirRerankerFields extends Omit<RerankOptions, 'signal' | 'topK'> {
  /** A reranker; it stays its caller's to dispose of. */
  model: Model;
  /** The best so many. Default: all. */
  topN?: number;
}

export class KvasirReranker extends BaseDocumentCompressor {
  readonly model: Model;
  readonly #options: RerankOptions;

  /** @throws INVALID_OPTION for what is no model; its methods reject with it for a wrong option. */
  constructor(fields: KvasirRerankerFields) {
    super();
    const { model, topN, ...options } = copiedOptions(fields, 'KvasirReranker');
    this.model = loadedModel(model);
    this.#options = { ...options, topK: topN };
  }

  /** The documents that answer the query best, the best first, each with `metadata.relevanceScore`. Rejects as `rerank` does. */
  override async compressDocuments(
    documents: DocumentInterface[],
    query: string,
  ): Promise<DocumentInterface[]> {
    if (documents.length === 0) return [];
    const texts = documents.map(({ pageContent }) => pageContent);
    const ranked = await this.model.rerank(query, texts, this.#options);
    return ranked.map(({ index, score }) => {
      const { pageContent, metadata, id } = documents[index];
      return new Document({ pageContent, id, metadata: { ...metadata, relevanceScore: score } });
    });
  }
}
