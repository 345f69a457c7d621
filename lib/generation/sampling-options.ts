import type { SamplerChain } from './chain-options.js';

/** What the sampler obeys: the validated options with every default filled in. */
export interface SamplingOptions {
  /** 0: greedy. */
  temperature: number;
  /** 0: off. */
  topK: number;
  /** 1: off. */
  topP: number;
  /** 0: off. */
  minP: number;
  /** 1: off. */
  typicalP: number;
  /** 1: off. Above 1 makes tokens of the prompt and the output less likely. */
  repetitionPenalty: number;
  /** 0: off. Subtracted from the logit of a token that the output has. */
  presencePenalty: number;
  /** 0: off. Subtracted once for each time that the output has the token. */
  frequencyPenalty: number;
  /** Added to the logits of these token ids. */
  logitBias: Readonly<Record<number, number>>;
  seed: number;
  /** Further samplers and rules, and the order of all. Absent: none, in the default order. */
  chain?: SamplerChain;
}

/** One row of a step's result. */
export interface LogitRow {
  /** Largest logits first, equal ones by the lower id. */
  ids: Int32Array;
  /** `ids` are all that can be drawn. */
  complete?: boolean;
  logits: Float32Array;
  /** Log of the sum of exp(logit / temperature) over the vocabulary, at the sampler's temperature (1 when it is 0). */
  logSumExp: number;
  /** The same at temperature 1. */
  logSumExp1: number;
  /** [vocabSize], when `fullLogits` asked for it. */
  full: Float32Array | null;
}
