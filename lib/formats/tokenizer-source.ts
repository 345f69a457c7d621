/** Where the tokenizer of a model is, as its files alone tell. */
import { KvasirError } from '../errors.js';
import type { ModelFiles } from '../hub/model-files.js';
import type { TokenizerSource } from '../tokenizer/source.js';

/** Throws MODEL_FORMAT for a folder that has none. */
export function tokenizerSourceOf(files: ModelFiles): TokenizerSource {
  if (files.kind === 'gguf') {
    const [path, ...others] = files.weights;
    return { kind: 'gguf', path: path!, ...(others.length > 0 ? { otherPaths: others } : {}) };
  }
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
    addedTokensPath: files.addedTokens,
    chatTemplatePath: files.chatTemplate,
    namedTemplatePaths: files.namedTemplates,
  };
}
