/** What the engine needs to know of a model. */
import type { ClassifierPlan } from '../classify/classifier-plan.js';
import type { TensorMap } from '../native.js';
import type { ModelSpec } from '../spec.js';
import type { Int8Origin } from './int8-form.js';
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
  minP?: number;
  typicalP?: number;
  repetitionPenalty?: number;
}

export interface ModelDescription {
  /** Family in `lib/architectures`: 'llama', 'gpt2'. */
  architecture: string;
  spec: ModelSpec;
  tensors: TensorMap;
  tokenizerSource: TokenizerSource;
  generationDefaults: GenerationDefaults;
  /** Elements of all tensors in use, a tied embedding counted once. */
  parameters: number;
  /** How the file stores most of its weights: 'F32', 'BF16', 'Q4_1', ..., or 'INT8' for the INT8 form. */
  storedDtype: string;
  /** Of a model for classification: its layers beside the graph. */
  classifier?: ClassifierPlan;
  /** Only of the INT8 form, which cannot be loaded as float32: what it was made from. */
  int8Origin?: Int8Origin;
}
