/** The stages of sampling that a caller may put in order, and which options each one reads. */

/** In the default order. */
export const SAMPLER_NAMES = [
  'penalties',
  'dry',
  'topNSigma',
  'temperature',
  'topK',
  'topP',
  'minP',
  'typicalP',
  'xtc',
] as const;

export type SamplerName = (typeof SAMPLER_NAMES)[number];

type Neutral = Readonly<Partial<Record<SamplerName, Readonly<Record<string, number>>>>>;

/** The options of `SamplingOptions` that turn a stage on, and at which value each changes nothing. */
export const SAMPLING_STAGES: Neutral = {
  penalties: { repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0 },
  temperature: { temperature: 1 },
  topK: { topK: 0 },
  topP: { topP: 1 },
  minP: { minP: 0 },
  typicalP: { typicalP: 1 },
};

/** The same of those of `ChainOptions`. */
export const CHAIN_STAGES: Neutral = {
  dry: { dryMultiplier: 0 },
  topNSigma: { topNSigma: 0 },
  temperature: { dynatempRange: 0 },
  xtc: { xtcProbability: 0 },
};
