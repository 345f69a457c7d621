/**
 * How well documents answer a query: by a classifier with one label over both texts (a cross-encoder), or by Qwen3-Reranker,
 * which says yes or no.
 */
import { weigh } from '../decide.js';
import type { Engine } from '../engine/engine.js';
import { KvasirError } from '../errors.js';
import { boolean, integer, parseOptions, type Rule, signal as signalRule } from '../given.js';
import { wellFormed } from '../options.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { sigmoid } from './classifier.js';
import { checkLength, type Classifying, forEach, sequenceLogits } from './classify.js';

export interface RerankOptions {
  /** The best so many. Default: all. */
  topK?: number;
  /** What a document is to be judged by, of Qwen3-Reranker. Default: whether it answers a web search. */
  instruction?: string;
  /** The classifier's logits as they are. Default: what the model's files say, or else their sigmoid. */
  raw?: boolean;
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface Reranked {
  /** Of the document in the list. */
  index: number;
  /** From 0 to 1, or a logit. */
  score: number;
}

const rules = {
  topK: integer(1, 2 ** 31 - 1),
  instruction: wellFormed,
  raw: boolean,
  signal: signalRule,
} satisfies Record<keyof RerankOptions, Rule>;

/** Throws INVALID_OPTION. */
export function parseRerankOptions(options: unknown): RerankOptions {
  return parseOptions(rules, options, 'rerank') as RerankOptions;
}

/** What reranking needs of a model. */
export interface Reranking {
  name: string;
  architecture: string;
  engine: Engine;
  contextLength: number;
  tokenizer: Tokenizer;
  /** The model has token types. */
  typed: boolean;
  classifying: Classifying | undefined;
}

/** The best first, of equal ones that which comes first. Throws INVALID_OPTION, CONTEXT_OVERFLOW, DISPOSED or the signal's reason. */
export async function rerankDocuments(
  model: Reranking,
  query: string,
  documents: readonly string[],
  options: RerankOptions,
): Promise<Reranked[]> {
  const scoreOf = await scorerOf(model, query, options);
  const scores = await forEach(documents, options.signal, scoreOf);
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);
  return order.slice(0, options.topK).map((index) => ({ index, score: scores[index] }));
}

type Scorer = (document: string, signal: AbortSignal, index: number) => Promise<number>;

async function scorerOf(model: Reranking, query: string, options: RerankOptions): Promise<Scorer> {
  const { classifying } = model;
  if (classifying === undefined) return yesOrNo(model, query, options);
  const { labels, plan } = classifying.classifier;
  if (plan.task !== 'sequence' || labels.length !== 1) throw cannotRerank(model);
  const isRaw = options.raw ?? plan.rerankScores === 'raw';
  return async (document, signal, index) => {
    const { ids, types } = await model.tokenizer.encodePair(query, document, { signal });
    checkLength(ids, `documents[${index}]`, model.contextLength);
    const [logit] = await sequenceLogits(
      classifying,
      { ids, types: model.typed ? types : undefined },
      signal,
    );
    return isRaw ? logit : sigmoid(logit);
  };
}

function cannotRerank({ name, architecture }: Reranking): KvasirError {
  return new KvasirError(
    'INVALID_OPTION',
    `${name} (${architecture}) is no reranker: that is a model with a classifier of one label, or Qwen3-Reranker.`,
  );
}

// The words that Qwen3-Reranker was trained with.
const BEFORE =
  '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n';
const AFTER = '<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n';
const WEB_SEARCH = 'Given a web search query, retrieve relevant passages that answer the query';

/** P(yes) beside P(no) behind the model's own words, each part encoded by itself. */
async function yesOrNo(
  model: Reranking,
  query: string,
  { instruction = WEB_SEARCH, signal }: RerankOptions,
): Promise<Scorer> {
  const { tokenizer, engine, contextLength } = model;
  if (model.architecture !== 'qwen3') throw cannotRerank(model);
  const encode = (text: string, own = signal) =>
    tokenizer.encodeAsync(text, { addSpecialTokens: false, signal: own });
  const [before, after, yes, no] = await Promise.all(
    [BEFORE, AFTER, 'yes', 'no'].map((text) => encode(text)),
  );
  if (yes.length !== 1 || no.length !== 1) throw cannotRerank(model);
  return async (document, own, index) => {
    const text = `<Instruct>: ${instruction}\n<Query>: ${query}\n<Document>: ${document}`;
    const prompt = [...before, ...(await encode(text, own)), ...after];
    checkLength(Int32Array.from(prompt), `documents[${index}]`, contextLength);
    const answers = [yes, no].map((answer) => Int32Array.from([...prompt, ...answer]));
    const [score] = await weigh(engine, answers, contextLength, { signal: own });
    return score;
  };
}
