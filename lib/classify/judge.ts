/** `classify` and `rerank` of a model: what callers give is read here, and the model's parts are brought together. */
import type { Engine } from '../engine/engine.js';
import { KvasirError } from '../errors.js';
import { checkText, readTexts } from '../prompt.js';
import type { ModelSpec } from '../spec.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { Classifier } from './classifier.js';
import { type Classification, type Classifying, classifyTexts, parseClassifyOptions } from './classify.js';
import { parseRerankOptions, type Reranked, rerankDocuments } from './rerank.js';

export interface JudgeParts {
  tokenizer: Tokenizer;
  info: { name: string; architecture: string; contextLength: number; hiddenSize: number };
  description: { spec: ModelSpec };
  classifier?: Classifier;
}

export class Judge {
  readonly #engine: Engine;
  readonly #parts: JudgeParts;
  readonly #classifying: Classifying | undefined;

  constructor(engine: Engine, parts: JudgeParts) {
    this.#engine = engine;
    this.#parts = parts;
    const { tokenizer, info, classifier } = parts;
    const { contextLength, hiddenSize } = info;
    this.#classifying = classifier && {
      engine,
      contextLength,
      hiddenSize,
      classifier,
      isSpecial: (id) => tokenizer.isSpecial(id),
    };
  }

  /** See Model.classify. */
  async classify(texts: unknown, options: unknown): Promise<Classification[][]> {
    this.#engine.throwIfDisposed();
    const { tokenizer, info } = this.#parts;
    const copy = readTexts(texts, 'texts');
    const settings = parseClassifyOptions(options);
    const model = this.#classifying;
    if (model === undefined) {
      throw new KvasirError('INVALID_OPTION', `${info.name} has no classifier: its files name none.`);
    }
    const encode = async (text: string, signal: AbortSignal) =>
      model.classifier.plan.task === 'token'
        ? tokenizer.encodeWithOffsets(text, { signal })
        : { ids: await tokenizer.encodeAsync(text, { signal }) };
    return classifyTexts(model, copy, encode, settings);
  }

  /** See Model.rerank. */
  async rerank(query: unknown, documents: unknown, options: unknown): Promise<Reranked[]> {
    this.#engine.throwIfDisposed();
    checkText(query, 'query');
    const copy = readTexts(documents, 'documents');
    const { info, tokenizer, description } = this.#parts;
    const { name, architecture, contextLength } = info;
    const model = { name, architecture, contextLength, engine: this.#engine, tokenizer };
    const typed = (description.spec.embedding?.types ?? 0) > 1;
    return rerankDocuments(
      { ...model, typed, classifying: this.#classifying },
      query,
      copy,
      parseRerankOptions(options),
    );
  }
}
