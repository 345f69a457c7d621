/**
 * Labels of texts, or of parts of them: the hidden states of a model through its classifier. Texts of any lengths share steps
 * without padding, and a score does not depend on the other texts.
 */
import { setMaxListeners } from 'node:events';
import { type Engine, overflowError } from '../engine/engine.js';
import { takeHidden } from '../engine/hidden-request.js';
import { integer, invalidOption, oneOf, parseOptions, type Rule, signal as signalRule } from '../given.js';
import { Pool } from '../embed/pooling.js';
import type { Classifier } from './classifier.js';
import { type Classification, entitiesOf, type TokenLabel } from './entities.js';

export type { Classification } from './entities.js';

export interface ClassifyOptions {
  /** Labels of each text, the most probable ones. Default: all. Not of token classification. */
  topK?: number;
  /**
   * Of token classification: 'simple' joins tokens that follow each other with one label (B- begins anew), their scores
   * averaged; 'none' gives each token. Default 'simple'.
   */
  aggregation?: 'none' | 'simple';
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

const rules = {
  topK: integer(1, 65_536),
  aggregation: oneOf('none', 'simple'),
  signal: signalRule,
} satisfies Record<keyof ClassifyOptions, Rule>;

/** Texts in the engine at a time: half of a step's sequences, so that others run beside them. */
const AT_ONCE = 32;

export interface Encoded {
  ids: Int32Array;
  types?: Int32Array;
  /** [tokens, 2] */
  offsets?: Int32Array;
}

/** What classifying needs of a model. */
export interface Classifying {
  engine: Engine;
  contextLength: number;
  hiddenSize: number;
  classifier: Classifier;
  isSpecial(id: number): boolean;
}

/** Throws INVALID_OPTION. */
export function parseClassifyOptions(options: unknown): ClassifyOptions {
  return parseOptions(rules, options, 'classify') as ClassifyOptions;
}

/** Throws CONTEXT_OVERFLOW, INVALID_OPTION, DISPOSED or the signal's reason. */
export function classifyTexts(
  model: Classifying,
  texts: readonly string[],
  encode: (text: string, signal: AbortSignal) => Promise<Encoded>,
  { topK, aggregation = 'simple', signal }: ClassifyOptions,
): Promise<Classification[][]> {
  return forEach(texts, signal, async (text, own, index) => {
    const encoded = await encode(text, own);
    checkLength(encoded.ids, `texts[${index}]`, model.contextLength);
    if (model.classifier.plan.task === 'sequence') {
      const scores = await sequenceScores(model, encoded, own);
      return ranked(scores, model.classifier.labels).slice(0, topK);
    }
    return entitiesOf(text, await tokenLabels(model, encoded, own), aggregation);
  });
}

/** Results in the order of the items, a few at a time; the first failure ends all. */
export async function forEach<Item, Result>(
  items: readonly Item[],
  signal: AbortSignal | undefined,
  one: (item: Item, signal: AbortSignal, index: number) => Promise<Result>,
): Promise<Result[]> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const own = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  setMaxListeners(0, own);
  const results: Result[] = [];
  const next = items.entries();
  const worker = async () => {
    for (const [i, item] of next) results[i] = await one(item, own, i);
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  } catch (error) {
    stop.abort(error);
    throw error;
  }
  return results;
}

/** Throws INVALID_OPTION for no token, CONTEXT_OVERFLOW for too many. */
export function checkLength(ids: Int32Array, name: string, contextLength: number): void {
  if (ids.length === 0) throw invalidOption(name, 'without a token', 'a text of at least one token');
  if (ids.length > contextLength)
    throw overflowError(ids.length, contextLength, 'the context', 'contextLength');
}

/** The hidden state that the classifier reads of a whole sequence. */
async function pooled(
  model: Classifying,
  { ids, types }: Encoded,
  signal: AbortSignal,
): Promise<Float64Array> {
  const { pooling, padTokenId } = model.classifier.plan;
  const last = Math.max(
    0,
    ids.findLastIndex((id) => id !== padTokenId),
  );
  const [from, to] = pooling === 'cls' ? [0, 1] : pooling === 'last' ? [last, last + 1] : [0, ids.length];
  const pool = new Pool('mean', model.hiddenSize);
  const take = (row: Float32Array, position: number) => pool.take(row, position);
  await takeHidden(model.engine, { tokens: ids, types, from, to, take, signal });
  return pool.result();
}

export async function sequenceScores(
  model: Classifying,
  encoded: Encoded,
  signal: AbortSignal,
): Promise<Float64Array> {
  return model.classifier.scores(await pooled(model, encoded, signal));
}

export async function sequenceLogits(
  model: Classifying,
  encoded: Encoded,
  signal: AbortSignal,
): Promise<Float64Array> {
  return model.classifier.logits(await pooled(model, encoded, signal));
}

function ranked(scores: Float64Array, labels: readonly string[]): Classification[] {
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);
  return order.map((i) => ({ label: labels[i], score: scores[i] }));
}

/** Of the tokens that stand in the text. */
async function tokenLabels(
  model: Classifying,
  { ids, offsets }: Encoded,
  signal: AbortSignal,
): Promise<TokenLabel[]> {
  const { classifier } = model;
  const tokens: TokenLabel[] = [];
  const take = (row: Float32Array, position: number) => {
    if (model.isSpecial(ids[position]) || offsets === undefined) return;
    const scores = classifier.scores(row);
    const best = scores.indexOf(Math.max(...scores));
    const [start, end] = [offsets[2 * position], offsets[2 * position + 1]];
    tokens.push({ label: classifier.labels[best], score: scores[best], start, end });
  };
  await takeHidden(model.engine, { tokens: ids, from: 0, to: ids.length, take, signal });
  return tokens;
}
