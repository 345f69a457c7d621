/** What a model reference resolves to: paths on this machine. Nothing here reads a model. */

/** A Hugging Face folder: every path is absolute, optional files are left out when the folder lacks them. */
export interface HfFolderFiles {
  kind: 'hf-folder';
  root: string;
  config: string;
  /** One or more `.safetensors` files, in shard order. */
  weights: string[];
  /** `model.safetensors.index.json`, where the weights are its shards. */
  shardIndex?: string;
  tokenizer?: string;
  tokenizerConfig?: string;
  specialTokensMap?: string;
  addedTokens?: string;
  generationConfig?: string;
  /** `chat_template.jinja`; it wins over the template in `tokenizer_config.json`. */
  chatTemplate?: string;
  /** `additional_chat_templates/NAME.jinja`, in the order of their names. */
  namedTemplates?: string[];
  /** What to call the model in messages: the alias, `org/name` or the folder's name. */
  displayName: string;
}

export interface GgufFiles {
  kind: 'gguf';
  /** Folder that holds the files. */
  root: string;
  /** The `.gguf` file, absolute, or all of a split model (`NAME-00001-of-00003.gguf`), in order. */
  weights: string[];
  displayName: string;
}

export type ModelFiles = HfFolderFiles | GgufFiles;

/** Where the files came from. */
export type ModelOrigin = 'embedded' | 'local' | 'cache' | 'hub' | 'pip';

/** Bytes of one file that is being fetched; `total` is 0 while it is unknown. */
export interface PullProgress {
  phase: 'download' | 'verify' | 'unpack';
  file: string;
  loaded: number;
  total: number;
}
