/**
 * What a structure forces is computed several tokens a step: tokens that no other could be without a row, the rest as drafts.
 * The answer is the one that comes token by token. In simulated time, so that the same drafts are checked each time.
 */
import { describe, expect, it } from 'vitest';
import { Engine } from '../../lib/engine/engine.js';
import { requestOf } from '../../lib/engine/launch.js';
import { type GenerationResult, GenerationRun } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import type { ResponseFormat } from '../../lib/structure/response-format.js';
import { inSimulatedTime, vocabulary } from './engine-bench.js';
import { FakeNative, type FakeOptions } from './engine-fake.js';
import { compiled, endToken, tokenBytes } from './structure-grammar.js';
import { withoutSkipping } from './token-by-token.js';

const size = tokenBytes.length;
const format: ResponseFormat = {
  type: 'json',
  schema: {
    type: 'object',
    properties: {
      name: { enum: ['Anna', 'Bert'] },
      location: {
        type: 'object',
        properties: { city: { type: 'string', maxLength: 5 } },
        required: ['city'],
      },
      amount: { type: 'integer', minimum: 0, maximum: 999 },
    },
    required: ['name', 'location', 'amount'],
    additionalProperties: false,
  },
};

interface Written {
  results: GenerationResult[];
  steps: number;
}

/** Requests that run together, over a model of which a step costs much and a row little. */
async function written(
  all: Omit<GenerateOptions, 'adapter'>[],
  answer: ResponseFormat = format,
  fake: FakeOptions = {},
): Promise<Written> {
  const structure = await compiled(answer);
  const outcome: Written = { results: [], steps: 0 };
  await inSimulatedTime(async () => {
    const native = new FakeNative({ vocabSize: size, stepMs: 10, tokenMs: 0.1, ...fake });
    const engine = new Engine(native, 1000);
    const buffers = new SamplerBuffers(size);
    const runs = all.map((options, i) => {
      const run = new GenerationRun();
      const request = requestOf({
        run,
        prompt: Int32Array.of(1, 2, 3 + i),
        settings: parseGenerateOptions({ maxTokens: 90, responseFormat: answer, ...options }, {}, size),
        contextLength: 1000,
        vocabulary: { ...vocabulary([endToken]), size, bytesOf: (id) => tokenBytes[id]! },
        buffers,
        cache: { reuse: false },
        structure,
        draftsForced: engine.rollsBack,
        createdAt: 0,
      });
      run.attach({ onDemand: () => engine.wake(), onCancel: () => engine.cancel(request) });
      engine.submit(request);
      return run;
    });
    outcome.results = await Promise.all(runs);
    outcome.steps = native.steps.length;
    await engine.dispose();
  });
  return outcome;
}

const comparable = ({ timings: _, ...rest }: GenerationResult) => rest;

/** The same, token by token. */
async function tokenByToken(...given: Parameters<typeof written>): Promise<Written> {
  const skip = withoutSkipping();
  try {
    return await written(...given);
  } finally {
    skip();
  }
}

const choices: Omit<GenerateOptions, 'adapter'>[] = [
  { temperature: 0 },
  { temperature: 1.5, seed: 2 },
  { temperature: 1.2, seed: 3, topP: 0.8, repetitionPenalty: 1.3, frequencyPenalty: 0.4 },
  { temperature: 1, seed: 4, dryMultiplier: 0.8, xtcProbability: 0.5 },
  { mirostat: 2, seed: 5 },
  { temperature: 1, seed: 6, stop: ['9', 'x'] },
  { temperature: 1, seed: 7, n: 3 },
  { temperature: 0, ignoreEos: true },
];

describe('forced tokens', () => {
  it.each(choices)('change nothing but the number of steps: %j', async (options) => {
    const skipped = await written([options]);
    const plain = await tokenByToken([options]);
    expect(skipped.results.map(comparable)).toEqual(plain.results.map(comparable));
    expect(skipped.steps).toBeLessThan(0.8 * plain.steps);
    // Nobody asked for drafts.
    expect(skipped.results[0]!.timings.draftedTokens).toBeUndefined();
  });

  it.each<Omit<GenerateOptions, 'adapter'>>([
    { temperature: 1, seed: 1, logprobs: 2 },
    { temperature: 1, seed: 2, n: 2, bestOf: 3 },
  ])('come with their log-probabilities: %j', async (options) => {
    const skipped = await written([options]);
    const plain = await tokenByToken([options]);
    expect(skipped.results.map(comparable)).toEqual(plain.results.map(comparable));
    expect(skipped.steps).toBeLessThan(plain.steps);
  });

  it('in a batch', async () => {
    const skipped = await written(choices);
    const plain = await tokenByToken(choices);
    expect(skipped.results.map(comparable)).toEqual(plain.results.map(comparable));
    expect(skipped.steps).toBeLessThan(plain.steps);
  });

  it('call processLogits as often', async () => {
    const calls: number[][] = [[], []];
    const options = (seen: number[]) => ({
      temperature: 0.8,
      seed: 9,
      processLogits: (_: Float32Array, { tokens }: { tokens: readonly number[] }) =>
        void seen.push(tokens.length),
    });
    const skipped = await written([options(calls[0]!)]);
    const plain = await tokenByToken([options(calls[1]!)]);
    expect(skipped.results.map(comparable)).toEqual(plain.results.map(comparable));
    expect(calls[0]!.length).toBeGreaterThan(5);
    expect(calls[0]).toEqual(calls[1]);
  });

  it('count as tokens, however few may come', async () => {
    for (let maxTokens = 50; maxTokens < 75; maxTokens += 4) {
      const options = { temperature: 1.5, seed: maxTokens, maxTokens };
      const skipped = await written([options]);
      const plain = await tokenByToken([options]);
      expect(skipped.results.map(comparable)).toEqual(plain.results.map(comparable));
      expect(skipped.results[0]!.tokens.length).toBeLessThanOrEqual(maxTokens);
    }
  });

  it('take no step of their own where they are all that is left', async () => {
    const { results, steps } = await written([{}], { type: 'json', schema: { const: 'forced' } });
    expect(results[0]!.text).toBe('"forced"');
    expect(steps).toBe(1);
  });

  it('are not drafted over states, which cannot go back, and skipped all the same', async () => {
    const states = { stateSlots: 8, keptStates: 2 };
    for (const options of [
      { temperature: 1, seed: 1 },
      { temperature: 1, seed: 1, logprobs: 0 },
    ]) {
      const skipped = await written([options], format, states);
      const plain = await tokenByToken([options], format, states);
      expect(skipped.results.map(comparable)).toEqual(plain.results.map(comparable));
      if (options.logprobs === undefined) expect(skipped.steps).toBeLessThan(plain.steps);
      else expect(skipped.steps).toBe(plain.steps);
    }
  });
});
