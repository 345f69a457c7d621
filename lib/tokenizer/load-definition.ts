/** Reads a tokenizer definition from its source. Called on the worker thread. */
import type { Container } from '../native.js';
import type { TokenizerDefinition } from './definition.js';
import { definitionFromGguf } from './gguf-vocabulary.js';
import type { TokenizerSource } from './source.js';
import { definitionFromFiles } from './tokenizer-files.js';

/** Throws MODEL_NOT_FOUND, MODEL_FORMAT or UNSUPPORTED_ARCHITECTURE. */
export async function loadDefinition(source: TokenizerSource): Promise<TokenizerDefinition> {
  if (source.kind === 'tokenizer-json') return definitionFromFiles(source);
  const container = await openContainer([source.path, ...(source.otherPaths ?? [])]);
  try {
    return definitionFromGguf(container);
  } finally {
    container.close();
  }
}

/** The addon is loaded for this alone: a folder needs none here. */
async function openContainer(paths: string[]): Promise<Container> {
  const { fromNative, native } = await import('../native.js');
  try {
    return await native().openContainer(paths);
  } catch (error) {
    throw fromNative(error);
  }
}
