/** Where the tokenizer of a model is, as its files alone tell. */
import { KvasirError } from '../errors.js';
import type { ModelFiles } from '../hub/model-files.js';
import type { TokenizerSource } from '../tokenizer/source.js';

/** Throws MODEL_FORMAT for a folder that has none. */
export function tokenizerSourceOf(files: ModelFiles): TokenizerSource {
  if (files.kind === 'gguf') return { kind: 'gguf', path: files.weights[0]! };
  if (files.tokenizer === undefined) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `${files.root} has no tokenizer.json, which is needed to turn text into tokens.`,
    );
  }
  return {
    kind: 'tokenizer-json',
    path: files.tokenizer,
    configPath: files.tokenizerConfig,
    specialTokensMapPath: files.specialTokensMap,
    chatTemplatePath: files.chatTemplate,
  };
}
