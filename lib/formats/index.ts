/**
 * From an open container and its JSON files to everything the engine needs to know of a model. Reads no container
 * bytes of its own: `Container` (native) does.
 */
import { KvasirError } from '../errors.js';
import type { ModelFiles } from '../hub/model-files.js';
import type { Container } from '../native.js';
import type { ModelDescription } from './description.js';
import { describeGguf } from './gguf.js';
import { describeHfFolder } from './hf-folder.js';

export type { GenerationDefaults, ModelDescription } from './description.js';
export type { Int8Origin } from './int8-form.js';
export { tokenizerSourceOf } from './tokenizer-source.js';

/**
 * `container` is `native.openContainer(files.weights)`.
 * Throws MODEL_FORMAT or UNSUPPORTED_ARCHITECTURE, naming what is wrong.
 */
export async function describeModel(files: ModelFiles, container: Container): Promise<ModelDescription> {
  const description = await (files.kind === 'gguf'
    ? describeGguf(files, container)
    : describeHfFolder(files, container));
  const beyond = description.generationDefaults.eosTokenIds.find((end) => end >= description.spec.vocabSize);
  if (beyond !== undefined) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `The end-of-text token ${beyond} lies beyond the ${description.spec.vocabSize} rows of the embedding.`,
    );
  }
  return description;
}
