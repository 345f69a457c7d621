/** Further samplers, their order and the rules on tokens, against a naive float64 rendition. */
import { describe, expect, it } from 'vitest';
import { Mirostat } from '../../lib/generation/entropy.js';
import { Random } from '../../lib/generation/random.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { SAMPLER_NAMES } from '../../lib/generation/sampler-names.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import {
  CANDIDATES,
  dryTakes,
  expectFrequencies,
  randomLogits,
  rowOf,
  samplerOf,
  vocabulary,
} from './sampling.js';

const VOCABULARY = 1500;
interface Entry {
  id: number;
  logit: number;
}

interface Case {
  options: GenerateOptions;
  prompt?: number[];
  /** Of the output so far. */
  output?: number[];
  logits?: Float32Array;
}

const parse = (options: GenerateOptions) =>
  parseGenerateOptions({ temperature: 1, ...options }, {}, VOCABULARY).sampling;

/** Whole lists in float64, one stage after the other, as their papers and llama.cpp define them. */
function oracle(logits: Float32Array, { options, prompt = [], output = [] }: Case): Map<number, number>[] {
  const all = [...prompt, ...output];
  const { topK = 0, topP = 1, minP = 0, typicalP = 1, temperature = 1, repetitionPenalty = 1 } = options;
  const takes = dryTakes(all, options);
  let list: Entry[] = Array.from(logits, (logit, id) => {
    let value = logit;
    if (all.includes(id)) value = value > 0 ? value / repetitionPenalty : value * repetitionPenalty;
    return {
      id,
      logit: Math.fround(Math.fround(value) - (options.dryMultiplier ? (takes.get(id) ?? 0) : 0)),
    };
  });
  list = list.filter(({ id }) => !isForbidden(id, all, output.length, options));
  list.sort((a, b) => b.logit - a.logit || a.id - b.id);
  const probabilities = () => {
    const weights = list.map(({ logit }) => Math.exp(logit - Math.max(...list.map((one) => one.logit))));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => weight / total);
  };
  const prefix = (order: number[], p: number[], mass: number) => {
    let sum = 0;
    const end = order.findIndex((i) => {
      sum += p[i];
      return sum >= mass;
    });
    const kept = new Set(end < 0 ? order : order.slice(0, end + 1));
    list = list.filter((_, i) => kept.has(i));
  };
  const outcomes: Map<number, number>[] = [];
  let xtc = false;
  const stages: Record<string, () => void> = {
    penalties: () => {},
    dry: () => {},
    topNSigma: () => {
      if (!options.topNSigma) return;
      const mean = list.reduce((sum, { logit }) => sum + logit, 0) / list.length;
      const deviation = Math.sqrt(
        list.reduce((sum, { logit }) => sum + (logit - mean) ** 2, 0) / list.length,
      );
      const least = list[0].logit - options.topNSigma * deviation;
      list = list.filter(({ logit }) => logit >= least);
    },
    temperature: () => {
      let by = temperature;
      const { dynatempRange: range = 0, dynatempExponent = 1 } = options;
      if (range > 0 && list.length > 1) {
        const entropy = probabilities().reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0);
        const low = Math.max(0, temperature - range);
        by = low + (temperature + range - low) * (entropy / Math.log(list.length)) ** dynatempExponent;
      }
      list = list.map(({ id, logit }) => ({ id, logit: logit / by }));
    },
    topK: () => {
      if (topK > 0) list = list.slice(0, topK);
    },
    topP: () => {
      if (topP < 1) prefix([...list.keys()], probabilities(), topP);
    },
    minP: () => {
      const p = probabilities();
      if (minP > 0) list = list.filter((_, i) => p[i] >= minP * p[0]);
    },
    typicalP: () => {
      if (typicalP >= 1) return;
      const p = probabilities();
      const entropy = p.reduce((sum, one) => sum - one * Math.log(one), 0);
      const distance = (i: number) => Math.abs(-Math.log(p[i]) - entropy);
      prefix(
        [...list.keys()].sort((a, b) => distance(a) - distance(b)),
        p,
        typicalP,
      );
    },
    xtc: () => {
      if (!xtc) return;
      const above = probabilities().filter((p) => p >= (options.xtcThreshold ?? 0.1)).length;
      if (above > 1) list = list.slice(above - 1);
    },
  };
  const whole = list;
  for (xtc of options.xtcProbability ? [false, true] : [false]) {
    list = whole;
    for (const name of options.samplers ?? SAMPLER_NAMES) stages[name]();
    const p = probabilities();
    outcomes.push(new Map(list.map(({ id }, i) => [id, p[i]])));
  }
  return outcomes;
}

function isForbidden(id: number, all: number[], generated: number, options: GenerateOptions): boolean {
  const { badWords = [], minTokens = 0, noRepeatNgram: n = 0 } = options;
  if (generated < minTokens && vocabulary.endTokens.has(id)) return true;
  const next = [...all, id].join();
  if (badWords.some((word) => `,${next}`.endsWith(`,${(word as number[]).join()}`))) return true;
  if (n === 0 || all.length < n) return false;
  const last = [...all.slice(all.length + 1 - n), id].join();
  return all.some((_, i) => i + n <= all.length && all.slice(i, i + n).join() === last);
}

/** What is expected: XTC acts with its probability. */
function expectedOf(logits: Float32Array, one: Case): Map<number, number> {
  const [without, within] = oracle(logits, one);
  const share = one.options.xtcProbability ?? 0;
  const mixed = new Map<number, number>();
  for (const [map, weight] of [
    [without, 1 - share],
    [within ?? without, share],
  ] as const) {
    for (const [id, p] of map) if (weight > 0) mixed.set(id, (mixed.get(id) ?? 0) + weight * p);
  }
  return mixed;
}

function draws(logits: Float32Array, one: Case, n: number): number[] {
  const buffers = new SamplerBuffers(logits.length);
  const row = rowOf(logits, one.options.temperature ?? 1);
  return Array.from({ length: n }, (_, seed) => {
    const sampler = samplerOf(parse({ ...one.options, seed: seed + 1_000_003 }), one, buffers);
    return sampler.sample(sampler.needsFullRow(CANDIDATES) ? row : { ...row, full: null });
  });
}

const repeated = [40, 41, 42, 43, 50, 41, 42, 43, 51, 41, 42, 43];

const cases: [string, Case][] = [
  ['top-n-sigma', { options: { topNSigma: 1.5 } }],
  ['top-n-sigma beyond the candidates, at a temperature', { options: { topNSigma: 4, temperature: 5 } }],
  ['XTC, always', { options: { xtcProbability: 1, xtcThreshold: 0.03 } }],
  ['XTC, sometimes, after top-k', { options: { xtcProbability: 0.4, xtcThreshold: 0.03, topK: 30 } }],
  ['dynamic temperature', { options: { temperature: 1.2, dynatempRange: 0.9, dynatempExponent: 4 } }],
  [
    'dynamic temperature down to 0, before top-k',
    { options: { temperature: 0.5, dynatempRange: 2, topK: 20 } },
  ],
  [
    'dynamic temperature of survivors',
    {
      options: { dynatempRange: 0.8, topK: 12, samplers: ['topK', 'temperature'] },
    },
  ],
  [
    'temperature last, after top-p and min-p',
    {
      options: { temperature: 2, topP: 0.6, minP: 0.05, samplers: ['topP', 'minP', 'temperature'] },
    },
  ],
  [
    'temperature between, the whole row',
    {
      options: { temperature: 3, topP: 0.999, minP: 0.2, samplers: ['topP', 'temperature', 'minP'] },
    },
  ],
  [
    'typical-p first, then top-k of the survivors',
    {
      options: { typicalP: 0.5, topK: 5, samplers: ['typicalP', 'topK'] },
    },
  ],
  [
    'XTC first, then min-p of what is left',
    {
      options: { xtcProbability: 1, xtcThreshold: 0.02, minP: 0.3, samplers: ['xtc', 'minP'] },
    },
  ],
  ['DRY', { options: { dryMultiplier: 0.8 }, prompt: repeated }],
  ['DRY in the last tokens alone', { options: { dryMultiplier: 2, dryPenaltyLastN: 7 }, prompt: repeated }],
  [
    'DRY with a repetition penalty before it',
    {
      options: { dryMultiplier: 1, dryBase: 2.5, dryAllowedLength: 1, repetitionPenalty: 1.3 },
      prompt: repeated.slice(0, 6),
      output: repeated.slice(6),
    },
  ],
  ['DRY up to a breaker', { options: { dryMultiplier: 3 }, prompt: [5, 10, 41, 42, 43, 5, 10, 41, 42] }],
  [
    'DRY up to a breaker of two tokens',
    {
      options: { dryMultiplier: 3, drySequenceBreakers: ['END'] },
      prompt: [41, 12, 13, 42, 43, 50, 12, 13, 42, 43],
    },
  ],
  [
    'DRY and a text that begins a breaker only',
    {
      options: { dryMultiplier: 3, drySequenceBreakers: ['ENX'] },
      prompt: [41, 12, 13, 43, 50, 12, 13],
    },
  ],
  [
    'forbidden words, one of them after its beginning',
    {
      options: { badWords: [[50], [41, 42], [43, 41], [7, 7, 7]] },
      prompt: [9, 43],
    },
  ],
  ['no n-gram twice, and top-p', { options: { noRepeatNgram: 3, topP: 0.9 }, prompt: repeated }],
  ['the end waits', { options: { minTokens: 3, topK: 9 }, prompt: [8], output: [9, 9] }],
];

/** Tokens of the histories, the end and forbidden ones lead, so that a rule that is left out shows. */
function leading(): Float32Array {
  const logits = randomLogits(VOCABULARY, 77);
  for (const token of [3, 40, 41, 42, 43, 50, 51]) logits[token] = 6 + token / 100;
  return logits;
}

describe('further samplers against a float64 rendition', () => {
  for (const [name, one] of cases) {
    it(`${name}: frequencies over 4,000 draws`, () => {
      const logits = leading();
      const drawn = draws(logits, one, 4000);
      expectFrequencies(drawn, expectedOf(logits, one));
      // The same draws must refute the distribution without it all.
      const { temperature } = one.options;
      expect(() => expectFrequencies(drawn, expectedOf(logits, { options: { temperature } }))).toThrow();
    });
  }

  it('a vocabulary smaller than the candidates', () => {
    const logits = randomLogits(60, 6);
    const one: Case = {
      options: { badWords: [[4], [5]], xtcProbability: 0.5, xtcThreshold: 0.05, topNSigma: 2 },
    };
    expectFrequencies(draws(logits, one, 3000), expectedOf(logits, one));
  });

  it('the order changes what is drawn', () => {
    const logits = leading();
    const options: GenerateOptions = { temperature: 3, topP: 0.6 };
    const last: Case = { options: { ...options, samplers: ['topP', 'temperature'] } };
    const first: Case = { options: { ...options, samplers: ['temperature', 'topP'] } };
    expectFrequencies(draws(logits, first, 3000), expectedOf(logits, { options }));
    expect(() => expectFrequencies(draws(logits, last, 3000), expectedOf(logits, { options }))).toThrow();
  });

  it('is the default order, bit for bit, where that is spelled out', () => {
    const options: GenerateOptions = {
      temperature: 0.8,
      topK: 50,
      topP: 0.9,
      minP: 0.02,
      typicalP: 0.9,
      seed: 5,
    };
    const row = rowOf(leading(), 0.8);
    const tokens = [{}, { samplers: SAMPLER_NAMES }].map((more) => {
      const sampler = samplerOf(parse({ ...options, ...more }), {}, new SamplerBuffers(VOCABULARY));
      return Array.from({ length: 200 }, () => sampler.sample(row));
    });
    expect(tokens[1]).toEqual(tokens[0]);
    expect(new Set(tokens[0]).size).toBeGreaterThan(3);
  });
});

describe('Mirostat 2', () => {
  const tau = 3;

  it('draws and moves as its definition says', () => {
    const logits = leading();
    const row = rowOf(logits, 0.9);
    const sampling = parse({ mirostat: 2, mirostatTau: tau, mirostatEta: 0.3, temperature: 0.9, seed: 9 });
    const sampler = samplerOf(sampling, {}, new SamplerBuffers(VOCABULARY));
    const random = new Random(9);
    const p = [...expectedOf(logits, { options: { temperature: 0.9 } })];
    let mu = 2 * tau;
    for (let step = 0; step < 300; step++) {
      const kept = p.filter(([, one], i) => i === 0 || -Math.log2(one) <= mu);
      const total = kept.reduce((sum, [, one]) => sum + one, 0);
      let left = random.uniform() * total;
      const [token, chance] =
        kept.find(([, one]) => {
          left -= one;
          return left < 0;
        }) ?? kept[0];
      expect(sampler.sample(row), `step ${step}`).toBe(token);
      mu -= 0.3 * (-Math.log2(chance / total) - tau);
    }
  });

  it('holds the surprise near tau', () => {
    const logits = randomLogits(VOCABULARY, 3, 3);
    const row = rowOf(logits, 1);
    const sampler = samplerOf(
      parse({ mirostat: 2, mirostatTau: tau, seed: 2 }),
      {},
      new SamplerBuffers(VOCABULARY),
    );
    const chances = expectedOf(logits, { options: {} });
    const surprises = Array.from({ length: 2000 }, () => -Math.log2(chances.get(sampler.sample(row))!));
    // Without it the surprise of this row is that of its distribution.
    const entropy = [...chances.values()].reduce((sum, p) => sum - p * Math.log2(p), 0);
    expect(entropy).toBeGreaterThan(tau + 1);
    expect(surprises.reduce((a, b) => a + b, 0) / surprises.length).toBeLessThan(tau + 0.6);
  });

  it('keeps the most probable token whatever mu is', () => {
    const buffers = new SamplerBuffers(400);
    const { list } = buffers;
    list.load(rowOf(randomLogits(400, 4), 1), undefined, 1, 400);
    const mirostat = new Mirostat({ tau: 1e-9, eta: 1 });
    mirostat.keep(list);
    expect([list.n, list.complete]).toEqual([1, true]);
  });
});
