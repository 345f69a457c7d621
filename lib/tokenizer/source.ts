/** Where a tokenizer comes from. Plain data: it crosses to the worker thread. */
import { integer, invalidOption, list, parseOptions, type Rule, reading, text } from '../given.js';

export type TokenizerSource = FolderSource | GgufSource;

export interface FolderSource {
  kind: 'tokenizer-json';
  /** `tokenizer.json`, absolute, as all paths here. */
  path: string;
  /** `tokenizer_config.json`. */
  configPath?: string;
  /** `special_tokens_map.json`. */
  specialTokensMapPath?: string;
  /** `added_tokens.json`. */
  addedTokensPath?: string;
  /** `chat_template.jinja`. */
  chatTemplatePath?: string;
  /** `additional_chat_templates/NAME.jinja`, in the order of their names. */
  namedTemplatePaths?: readonly string[];
  /** Rows of the embedding: a token id beyond them is MODEL_FORMAT. Absent: not checked. */
  embeddingRows?: number;
}

export interface GgufSource {
  kind: 'gguf';
  /** The `.gguf` file, or the first of a split model, absolute. */
  path: string;
  /** The other files of a split model, in order. Default: none. */
  otherPaths?: readonly string[];
  embeddingRows?: number;
}

const paths = list(text.fits, 0, 100_000, 'a list of paths');
const rows = integer(0, 2 ** 31);
const path = text;

const folderRules = {
  kind: text,
  path,
  configPath: path,
  specialTokensMapPath: path,
  addedTokensPath: path,
  chatTemplatePath: path,
  namedTemplatePaths: paths,
  embeddingRows: rows,
} satisfies Record<keyof FolderSource, Rule>;
const ggufRules = {
  kind: text,
  path,
  otherPaths: paths,
  embeddingRows: rows,
} satisfies Record<keyof GgufSource, Rule>;

/** A copy. Throws INVALID_OPTION: a number would be taken for an open file. */
export function checkSource(given: unknown): TokenizerSource {
  return reading('The source', () => {
    const { kind } = (given ?? {}) as Partial<TokenizerSource>;
    if (kind !== 'tokenizer-json' && kind !== 'gguf') {
      throw invalidOption('kind of a tokenizer', kind, "'tokenizer-json' or 'gguf'");
    }
    const rules = kind === 'gguf' ? ggufRules : folderRules;
    const source = parseOptions(rules, given, 'Tokenizer.load') as TokenizerSource;
    if (source.path === undefined) throw invalidOption('path', undefined, 'a path');
    return source;
  });
}
