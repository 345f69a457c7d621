/** Refuses parameters that no real model has, before a byte of memory is asked for on their account. */
import { KvasirError } from '../errors.js';
import type { AttentionSpec, ExpertsSpec, ModelSpec, StateSpec } from '../spec.js';

const limits = {
  vocabSize: 1 << 22,
  hiddenSize: 1 << 16,
  layers: 1 << 10,
  heads: 1 << 10,
  kvHeads: 1 << 10,
  headDim: 1 << 10,
  ffnSize: 1 << 20,
  experts: 1 << 10,
  allExperts: 1 << 17,
  maxPositions: 1 << 24,
} as const;

function fail(message: string): never {
  throw new KvasirError('MODEL_FORMAT', message);
}

/** Throws MODEL_FORMAT naming the parameter: the reference's name of it, where it is known. */
export function checkSize(name: keyof typeof limits, value: number): number {
  const limit = limits[name];
  if (Number.isSafeInteger(value) && value >= 1 && value <= limit) return value;
  return fail(
    `The model's configuration says ${name} = ${value}; it must be a whole number from 1 to ${limit}.`,
  );
}

function checkAttention({ heads, kvHeads, headDim, rope }: AttentionSpec): void {
  checkSize('heads', heads);
  checkSize('kvHeads', kvHeads);
  checkSize('headDim', headDim);
  if (heads % kvHeads !== 0) {
    fail(
      `The model's configuration has ${heads} attention heads, which ${kvHeads} key-value heads do not divide.`,
    );
  }
  if (rope !== undefined && headDim % 2 !== 0) {
    fail(`A rotary embedding needs an even head size, not ${headDim}.`);
  }
}

function checkExperts({ count, used }: ExpertsSpec): void {
  checkSize('experts', count);
  if (used <= count) return;
  fail(`The model's configuration uses ${used} experts at once, but has ${count}.`);
}

function checkState(state: StateSpec): void {
  if (state.kind === 'short_conv') return void checkSize('hiddenSize', state.channels);
  checkSize('heads', state.keyHeads);
  checkSize('heads', state.valueHeads);
  checkSize('headDim', state.keyDim);
  checkSize('headDim', state.valueDim);
  if (state.valueHeads % state.keyHeads !== 0) {
    fail(
      `The model's configuration has ${state.valueHeads} value heads, which ${state.keyHeads} key heads do not divide.`,
    );
  }
}

/** Throws MODEL_FORMAT naming the parameter. Rotary frequencies need not be there yet. */
export function checkSpec(spec: ModelSpec): ModelSpec {
  checkSize('vocabSize', spec.vocabSize);
  checkSize('hiddenSize', spec.hiddenSize);
  checkSize('layers', spec.stack.layers.length);
  checkSize('maxPositions', spec.maxPositions);
  spec.attentions.forEach(checkAttention);
  spec.states?.forEach(checkState);
  for (const { size, experts } of spec.feedForwards) {
    checkSize('ffnSize', size);
    if (experts) checkExperts(experts);
  }
  const all = spec.stack.layers.map((layer) => spec.feedForwards[layer.feedForward]!.experts?.count ?? 0);
  checkSize('allExperts', 1 + all.reduce((sum, n) => sum + n, 0));
  if (!(spec.normEps >= 0 && spec.normEps < 1)) {
    fail(`The model's configuration says normEps = ${spec.normEps}; it must be in [0, 1).`);
  }
  return spec;
}
