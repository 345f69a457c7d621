/** From options to the stages that run on each row, in order. */
import { Mirostat, temperByEntropy } from './entropy.js';
import { dropTopChoices, keepMinP, keepTopK, keepTopNSigma, keepTopP } from './filters.js';
import type { Random } from './random.js';
import { SAMPLER_NAMES, type SamplerName } from './sampler-names.js';
import type { SamplingOptions } from './sampling-options.js';
import type { Shortlist } from './shortlist.js';
import type { TypicalFilter } from './typical.js';

export type Stage = (list: Shortlist) => void;

export interface StagePlan {
  stages: readonly Stage[];
  /** [stages] what they are called. */
  names: readonly string[];
  /** No stage looks past so many of the most probable tokens. */
  limit: number;
  /** The list begins at the temperature of the options; else at 1. */
  temperedFirst: boolean;
  /** Wants to know what was drawn. */
  mirostat: Mirostat | undefined;
}

/** Stages that do not care about the temperature: they read logits, or their order. */
const BLIND_TO_TEMPERATURE: readonly SamplerName[] = ['topNSigma', 'topK'];

export function planStages(
  options: SamplingOptions,
  vocabSize: number,
  typical: TypicalFilter,
  random: Random,
): StagePlan {
  if (options.temperature === 0) {
    const stages: readonly Stage[] = [(list) => list.keepLargest(1)];
    return { stages, names: ['greedy'], limit: 1, temperedFirst: true, mirostat: undefined };
  }
  const order = (options.chain?.order ?? SAMPLER_NAMES).filter((name) => isOn(name, options));
  const temperature = order.indexOf('temperature');
  const dynamic = (options.chain?.dynatempRange ?? 0) > 0;
  const temperedFirst =
    !dynamic && order.slice(0, Math.max(0, temperature)).every((name) => BLIND_TO_TEMPERATURE.includes(name));
  const filters = temperedFirst ? order.filter((name) => name !== 'temperature') : order;
  const stages = filters.map((name, i) => stageOf(name, options, { typical, random, next: filters[i + 1] }));
  const mirostat = options.chain?.mirostat ? new Mirostat(options.chain.mirostat) : undefined;
  if (mirostat) stages.push((list) => mirostat.keep(list));
  const names = mirostat ? [...filters, 'mirostat'] : filters;
  const limit = filters[0] === 'topK' ? options.topK : vocabSize;
  return { stages, names, limit, temperedFirst, mirostat };
}

/** Penalties and DRY are done before the list is made. */
function isOn(
  name: SamplerName,
  { temperature, topK, topP, minP, typicalP, chain }: SamplingOptions,
): boolean {
  if (name === 'temperature') return temperature !== 1 || (chain?.dynatempRange ?? 0) > 0;
  if (name === 'topK') return topK > 0;
  if (name === 'topP') return topP < 1;
  if (name === 'minP') return minP > 0;
  if (name === 'typicalP') return typicalP < 1;
  if (name === 'topNSigma') return (chain?.topNSigma ?? 0) > 0;
  return name === 'xtc' && (chain?.xtcProbability ?? 0) > 0;
}

interface Surroundings {
  typical: TypicalFilter;
  random: Random;
  /** The stage that follows. */
  next: SamplerName | undefined;
}

function stageOf(
  name: SamplerName,
  options: SamplingOptions,
  { typical, random, next }: Surroundings,
): Stage {
  const { temperature, topK, topP, minP, typicalP, chain } = options;
  if (name === 'topK') return (list) => keepTopK(list, topK);
  if (name === 'topP') return (list) => keepTopP(list, topP, next === 'minP' ? minP : 0);
  if (name === 'minP') return (list) => keepMinP(list, minP);
  if (name === 'typicalP') return (list) => typical.keep(list, typicalP);
  const {
    topNSigma = 0,
    xtcProbability = 0,
    xtcThreshold = 0,
    dynatempRange = 0,
    dynatempExponent = 1,
  } = chain ?? {};
  if (name === 'topNSigma') return (list) => keepTopNSigma(list, topNSigma);
  if (name === 'xtc') {
    return (list) => {
      if (random.uniform() < xtcProbability) dropTopChoices(list, xtcThreshold);
    };
  }
  if (dynatempRange === 0) return (list) => list.temper(temperature);
  const [low, high] = [Math.max(0, temperature - dynatempRange), temperature + dynatempRange];
  return (list) => temperByEntropy(list, low, high, dynatempExponent);
}
