/** Where a tokenizer comes from. Plain data: it crosses to the worker thread. */
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
