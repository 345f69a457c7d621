/** Whether a tokenizer and a model belong together. */
import { KvasirError } from '../errors.js';

/** A token beyond the embedding would be read from memory that belongs to something else: refuse it here. */
export function checkVocabularySize(tokens: number, embeddingRows: number): void {
  if (tokens <= embeddingRows) return;
  throw new KvasirError(
    'MODEL_FORMAT',
    `The tokenizer has ${tokens} tokens but the model's embedding only ${embeddingRows} rows: they do not belong together.`,
    { details: { tokens, rows: embeddingRows } },
  );
}
