/** Refuses parameters that no real model has, before a byte of memory is asked for on their account. */
import { KvasirError } from '../errors.js';
import type { ModelSpec } from '../native.js';

const limits = {
  vocabSize: 1 << 22,
  hiddenSize: 1 << 16,
  nLayers: 1 << 10,
  nHeads: 1 << 10,
  nKvHeads: 1 << 10,
  headDim: 1 << 10,
  ffnSize: 1 << 20,
  maxPositions: 1 << 24,
} as const;

/** Throws MODEL_FORMAT naming the parameter. */
export function checkSpec(spec: ModelSpec): ModelSpec {
  for (const [name, limit] of Object.entries(limits) as [keyof typeof limits, number][]) {
    const value = spec[name];
    if (!Number.isSafeInteger(value) || value < 1 || value > limit) {
      throw new KvasirError(
        'MODEL_FORMAT',
        `The model's configuration says ${name} = ${value}; it must be a whole number from 1 to ${limit}.`,
      );
    }
  }
  if (spec.nHeads % spec.nKvHeads !== 0) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `The model's configuration has ${spec.nHeads} attention heads, which ${spec.nKvHeads} key-value heads do not divide.`,
    );
  }
  if (spec.rope !== undefined && spec.headDim % 2 !== 0) {
    throw new KvasirError('MODEL_FORMAT', `A rotary embedding needs an even head size, not ${spec.headDim}.`);
  }
  if (!(spec.normEps >= 0 && spec.normEps < 1)) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `The model's configuration says normEps = ${spec.normEps}; it must be in [0, 1).`,
    );
  }
  return spec;
}
