/** `staticVectors`: word vectors from a file, or those of tokens from a folder of model2vec. */
import { integer, invalidOption, parseOptions, type Rule, signal as signalRule } from '../given.js';
import { isFolder, readStaticModel } from './static-model.js';
import { readWordFile } from './word-files.js';
import { MOST_WORDS } from './word-table.js';
import { indexWords, type WordVectors } from './word-vectors.js';

export interface StaticVectorsOptions {
  /** Words that are read, from the beginning of a file; a folder is read whole. Default: all, at most 16,777,216. */
  limit?: number;
  /** Threads that search. Default: one per core that the process may use. */
  threads?: number;
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

const rules = {
  limit: integer(1, MOST_WORDS),
  threads: integer(1, 1024),
  signal: signalRule,
} satisfies Record<keyof StaticVectorsOptions, Rule>;

/**
 * Words with their vectors: word2vec's binary or text form, or GloVe's text, told apart by their first lines. They are held in
 * memory as float32, and as INT8 beside that. Where a word comes twice, the first counts. Of a folder of model2vec the words are
 * its tokens as the vocabulary spells them, at their ids, and `embed` gives the vectors of texts.
 * @throws MODEL_NOT_FOUND; MODEL_FORMAT: cut, damaged, or no such file; UNSUPPORTED_ARCHITECTURE; INSUFFICIENT_MEMORY, INVALID_OPTION, or the signal's
 * reason.
 */
export async function staticVectors(path: string, options: StaticVectorsOptions = {}): Promise<WordVectors> {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw invalidOption('path', path, 'the path of a file of word vectors or of a folder');
  }
  const {
    limit = MOST_WORDS,
    threads,
    signal,
  } = parseOptions(rules, options, 'staticVectors') as StaticVectorsOptions;
  signal?.throwIfAborted();
  if (!(await isFolder(path)))
    return indexWords(await readWordFile(path, limit, signal), { threads, signal });
  const texts = await readStaticModel(path, signal);
  try {
    return await indexWords(texts.table, { threads, signal, texts });
  } catch (error) {
    await texts.tokenizer.dispose();
    throw error;
  }
}
