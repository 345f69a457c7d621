/**
 * From an open container and its JSON files to everything the engine needs to know of a model. Reads no container
 * bytes of its own: `Container` (native) does.
 */
import { KvasirError } from '../errors.js';
import type { ModelFiles } from '../hub/model-files.js';
import type { Container, ModelSpec, TensorMap } from '../native.js';
import type { TokenizerSource } from '../tokenizer/source.js';

/** What the checkpoint itself says about generating. Absent: it says nothing. */
export interface GenerationDefaults {
  /** Any of these ends a generation. The tokenizer may know more (`Tokenizer.endTokenIds`). */
  eosTokenIds: number[];
  bosTokenId?: number;
  padTokenId?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  repetitionPenalty?: number;
}

export interface ModelDescription {
  /** Family in `lib/architectures`: 'llama', 'gpt2'. */
  architecture: string;
  spec: ModelSpec;
  tensors: TensorMap;
  tokenizerSource: TokenizerSource;
  generationDefaults: GenerationDefaults;
  /** Weights counted as the architecture defines them, a tied embedding once. */
  parameters: number;
  /** How the file stores most of its weights: 'F32', 'BF16', 'Q4_1', ... */
  storedDtype: string;
}

/**
 * `container` is `native.openContainer(files.weights)`.
 * Throws MODEL_FORMAT or UNSUPPORTED_ARCHITECTURE, naming what is wrong.
 */
export async function describeModel(files: ModelFiles, _container: Container): Promise<ModelDescription> {
  throw new KvasirError('MODEL_FORMAT', `Cannot describe ${files.displayName}.`);
}
