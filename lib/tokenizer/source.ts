/** Where a tokenizer comes from. Plain data: it crosses to the worker thread. */
export type TokenizerSource =
  | {
      kind: 'tokenizer-json';
      /** `tokenizer.json`, absolute. */
      path: string;
      /** `tokenizer_config.json`. */
      configPath?: string;
      /** `special_tokens_map.json`. */
      specialTokensMapPath?: string;
      /** `chat_template.jinja`. */
      chatTemplatePath?: string;
      /** Rows of the embedding: a token id beyond them is MODEL_FORMAT. Absent: not checked. */
      embeddingRows?: number;
    }
  | {
      kind: 'gguf';
      /** The `.gguf` file, absolute. */
      path: string;
      embeddingRows?: number;
    };
