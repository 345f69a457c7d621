import { describe, expect, it } from 'vitest';
import { KvasirError } from '../../lib/errors.js';
import { parseGenerateOptions, parseLoadOptions } from '../../lib/options.js';

function failure(run: () => unknown): KvasirError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(KvasirError);
    return error as KvasirError;
  }
  throw new Error('nothing was thrown');
}

const generate = (options: unknown, defaults = {}) => parseGenerateOptions(options, defaults, 1000);

const impossible: Record<string, unknown[]> = {
  maxTokens: [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '10', null],
  temperature: [-0.1, Number.NaN, Number.POSITIVE_INFINITY, 101, '0.7', true],
  topK: [-1, 2.5, Number.NaN],
  topP: [0, 1.01, -0.5, Number.NaN],
  minP: [-0.1, 1.1, Number.NaN],
  typicalP: [0, 2, Number.NaN],
  repetitionPenalty: [0, -1, Number.NaN, Number.POSITIVE_INFINITY],
  presencePenalty: [2.1, -3, Number.NaN],
  frequencyPenalty: [2.1, -3, Number.NaN],
  logitBias: [[1], 3, { a: 1 }, { 5: 101 }, { 5: Number.NaN }, { 5: '1' }, { '-1': 1 }, { 1000: 1 }],
  seed: [-1, 0.5, Number.NaN, 2 ** 53, 'x'],
  stop: ['', [''], [1], 5, ['ok', '\ud800'], { length: 1 }],
  ignoreEos: [1, 'yes', null],
  logprobs: [-1, 1.5, true, 1001],
  signal: [{}, 'abort'],
  topNSigma: [-1, 101, Number.NaN, '1'],
  xtcProbability: [-0.1, 1.1, Number.NaN],
  xtcThreshold: [0, 0.6, Number.NaN],
  dynatempRange: [-1, 101, Number.NaN],
  dynatempExponent: [0, 101, Number.NaN],
  mirostat: [1, '2', true, Number.NaN],
  mirostatTau: [0, 101, Number.NaN],
  mirostatEta: [0, 1.1, Number.NaN],
  samplers: ['topK', ['topk'], ['topK', 'topK'], ['topK', 'dry'], ['dry', 'penalties'], [1], { length: 1 }],
  dryMultiplier: [-1, 101, Number.NaN],
  dryBase: [0.9, 101, Number.NaN],
  dryAllowedLength: [0, 1.5, Number.NaN],
  dryPenaltyLastN: [-2, 0.5, Number.NaN],
  drySequenceBreakers: ['x', [''], [1], ['\ud800'], new Array(65).fill('x')],
  badWords: [
    'word',
    [''],
    [[]],
    [5],
    [[-1]],
    [[1.5]],
    [[1000]],
    ['\ud800'],
    [new Int32Array()],
    new Array(1025),
  ],
  minTokens: [-1, 1.5, Number.NaN, 257],
  noRepeatNgram: [-1, 1.5, Number.NaN],
  n: [0, 65, 1.5, '2', Number.NaN],
  bestOf: [0, 65, 1.5, Number.NaN],
  beams: [0, 65, 1.5, Number.NaN],
  lengthPenalty: [-11, 11, Number.NaN, '1'],
  earlyStopping: ['Never', 1, null],
};

/** Options that do not go together; the first is named. */
const together: Record<string, unknown>[] = [
  { topK: 40, mirostat: 2 },
  { topP: 0.9, mirostat: 2 },
  { minP: 0.1, mirostat: 2 },
  { typicalP: 0.9, mirostat: 2 },
  { topNSigma: 1, mirostat: 2 },
  { xtcProbability: 0.5, mirostat: 2 },
  { dynatempRange: 0.5, mirostat: 2 },
  { samplers: ['topK'], mirostat: 2 },
  { temperature: 0, mirostat: 2 },
  { temperature: 0, xtcProbability: 0.5 },
  { temperature: 0, dynatempRange: 0.5 },
  { temperature: 0.5, samplers: ['topK'] },
  { topK: 5, samplers: ['temperature'] },
  { xtcProbability: 0.5, samplers: ['temperature'] },
  { repetitionPenalty: 1.1, samplers: ['dry', 'temperature'] },
  { dryMultiplier: 1, samplers: ['penalties'] },
  { minTokens: 11, maxTokens: 10 },
  { temperature: 0, n: 2 },
  { temperature: 0, bestOf: 2 },
  { bestOf: 2, n: 3 },
  { bestOf: 4, beams: 4 },
  { n: 5, beams: 4 },
  ...Object.entries({
    ...{ temperature: 0.7, topK: 4, topP: 0.5, minP: 0.1, typicalP: 0.5, seed: 1, repetitionPenalty: 1.1 },
    ...{ presencePenalty: 1, frequencyPenalty: 1, logitBias: { 1: 1 }, stop: 'x', logprobs: 1, mirostat: 2 },
    ...{ samplers: ['topK'], dryMultiplier: 1, xtcProbability: 0.5, topNSigma: 1, dynatempRange: 1 },
  }).map(([name, value]) => ({ [name]: value, beams: 4 })),
];

/** What is nothing without another option. */
const alone: Record<string, unknown>[] = [{ lengthPenalty: 2 }, { earlyStopping: true }];

describe('generate options', () => {
  for (const [name, values] of Object.entries(impossible)) {
    it(`${name}: what is impossible is named`, () => {
      for (const value of values) {
        const error = failure(() => generate({ [name]: value }));
        expect(error.code).toBe('INVALID_OPTION');
        expect(error.message).toMatch(new RegExp(`Option ${name} is .*; it must be .+`));
        expect(error.details.option).toBe(name);
      }
    });
  }

  for (const options of together) {
    const [name, ...others] = Object.keys(options);
    it(`${name} with ${others}: does not go together`, () => {
      const error = failure(() => generate(options));
      expect(error.code).toBe('INVALID_OPTION');
      expect(error.details.option).toBe(name);
      for (const other of others) generate({ [other]: options[other] });
    });
  }

  for (const options of alone) {
    it(`${Object.keys(options)} needs beams`, () => {
      expect(failure(() => generate(options)).details.option).toBe(Object.keys(options)[0]);
      generate({ ...options, beams: 2 });
    });
  }

  it('several texts ask for sampling, beams do not', () => {
    expect(generate({ n: 2 })).toMatchObject({ sampling: { temperature: 1 }, search: { n: 2, bestOf: 2 } });
    expect(generate({ bestOf: 3 })).toMatchObject({
      sampling: { temperature: 1 },
      search: { n: 1, bestOf: 3 },
    });
    expect(generate({ n: 1, bestOf: 1, beams: 1 }).search).toBeUndefined();
    expect(generate({ beams: 3, n: 2, temperature: 0 })).toMatchObject({
      sampling: { temperature: 0 },
      search: { n: 2, beams: { beams: 3, lengthPenalty: 1, earlyStopping: false } },
    });
    expect(failure(() => parseGenerateOptions({ beams: 3 }, {}, 5)).details.option).toBe('beams');
  });

  it('stages that do not run take nothing from the checkpoint', () => {
    const own = { temperature: 0.6, topP: 0.9, topK: 50, repetitionPenalty: 1.1 };
    expect(generate({ mirostat: 2 }, own).sampling).toMatchObject({ ...own, topP: 1, topK: 0 });
    expect(generate({ samplers: ['topK', 'topP'] }, own).sampling).toMatchObject({
      ...own,
      temperature: 1,
      repetitionPenalty: 1,
    });
    expect(generate({ minTokens: 5 }, own).sampling).toMatchObject(own);
  });

  it('further samplers ask for sampling', () => {
    for (const option of [{ topNSigma: 1 }, { xtcProbability: 0.5 }, { dynatempRange: 0.5 }, { mirostat: 2 }])
      expect(generate(option).sampling.temperature).toBe(1);
    for (const option of [{ dryMultiplier: 1 }, { badWords: ['x'] }, { minTokens: 3 }, { noRepeatNgram: 2 }])
      expect(generate(option).sampling.temperature).toBe(0);
  });

  it('copies lists', () => {
    const ids = Int32Array.of(1, 2);
    const badWords = [ids, 'word', [3]];
    const { chain } = generate({ badWords }).sampling;
    ids[0] = 9;
    badWords.length = 0;
    expect(chain?.badWords).toEqual([Int32Array.of(1, 2), 'word', Int32Array.of(3)]);
  });

  it('says what was given and what may be', () => {
    expect(failure(() => generate({ topP: 1.5 })).message).toBe(
      'Option topP is 1.5; it must be a number above 0 and at most 1.',
    );
  });

  it('an unknown option is named, with those that exist', () => {
    const error = failure(() => generate({ max_tokens: 5 }));
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toMatch(/no option max_tokens.*maxTokens, temperature/);
  });

  it('options that are no object', () => {
    for (const value of [5, 'x', [1]]) expect(failure(() => generate(value)).code).toBe('INVALID_OPTION');
  });

  it('undefined is a value not given', () => {
    expect(generate({ temperature: undefined }).sampling.temperature).toBe(0);
    expect(generate(undefined).maxTokens).toBe(256);
  });

  it('is greedy unless something asks for sampling', () => {
    expect(generate({}).sampling.temperature).toBe(0);
    for (const option of [{ topK: 5 }, { topP: 0.9 }, { minP: 0.1 }, { typicalP: 0.9 }, { seed: 1 }]) {
      expect(generate(option).sampling.temperature).toBe(1);
      expect(generate({ ...option, temperature: 0 }).sampling.temperature).toBe(0);
    }
  });

  it("takes the checkpoint's defaults where the caller gives none", () => {
    const own = { temperature: 0.6, topP: 0.9, topK: 50, repetitionPenalty: 1.1 };
    expect(generate({}, own).sampling).toMatchObject(own);
    expect(generate({ temperature: 0, topK: 3 }, own).sampling).toMatchObject({
      ...own,
      temperature: 0,
      topK: 3,
    });
  });

  it('draws a seed when none is given', () => {
    const seeds = new Set(Array.from({ length: 20 }, () => generate({}).sampling.seed));
    expect(seeds.size).toBe(20);
    for (const seed of seeds) expect(Number.isSafeInteger(seed)).toBe(true);
    expect(generate({ seed: 0 }).sampling.seed).toBe(0);
  });

  it('keeps its own copies', () => {
    const stop = ['a'];
    const settings = generate({ stop });
    stop.push('b');
    expect(settings.stop).toEqual(['a']);
    expect(generate({ stop: 'x' }).stop).toEqual(['x']);
  });
});

describe('load options', () => {
  const cases: [string, unknown][] = [
    ['device', 'gpu'],
    ['device', 'cuda:'],
    ['dtype', 'int4'],
    ['kvDtype', 'bf16'],
    ['contextLength', 0],
    ['contextLength', Number.NaN],
    ['contextLength', '512'],
    ['kvCapacity', -1],
    ['threads', 0],
    ['threads', 1.5],
    ['onProgress', 'log'],
    ['signal', 1],
  ];
  for (const [name, value] of cases) {
    it(`${name}: ${JSON.stringify(value)} is impossible`, () => {
      const error = failure(() => parseLoadOptions({ [name]: value }));
      expect(error.code).toBe('INVALID_OPTION');
      expect(error.message).toContain(`Option ${name} is `);
    });
  }

  it('accepts what API names', () => {
    for (const device of ['auto', 'cpu', 'cuda', 'cuda:1'])
      expect(parseLoadOptions({ device })).toEqual({ device });
    expect(failure(() => parseLoadOptions({ quant: 'int8' })).message).toMatch(/no option quant/);
  });
});
