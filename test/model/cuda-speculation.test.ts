/** Drafts on the emulated GPU: the texts of the CPU without. */
import { expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { useEmulatedGpu } from './emulated-gpu.js';

useEmulatedGpu();

const prompt = 'Tom had a red ball. Tom had a red ball. Tom had a red';
const options = { maxTokens: 16, ignoreEos: true, logprobs: 2 };
const samplings = [{ temperature: 0 }, { temperature: 0.7, seed: 3 }];

it.each([
  ['int8', 'auto'],
  ['fp32', 2],
] as const)(
  'gives the tokens and log-probabilities of the CPU, %s, layers on the GPU: %s',
  async (dtype, gpuLayers) => {
    const cpu = await Model.load('stories-260k', { device: 'cpu', dtype, threads: 2 });
    const expected = [];
    for (const sampling of samplings) expected.push(await cpu.generate(prompt, { ...options, ...sampling }));
    const gpu = await Model.load('stories-260k', { device: 'cuda', gpuLayers, dtype, threads: 2 });
    expect(gpu.info.device).toBe('cuda:0');
    let accepted = 0;
    for (const speculate of ['prompt', { draft: cpu }] as const) {
      for (const [i, sampling] of samplings.entries()) {
        const { tokens, logprobs, timings } = await gpu.generate(prompt, {
          ...options,
          ...sampling,
          speculate,
        });
        expect(tokens).toEqual(expected[i]!.tokens);
        expect(logprobs).toEqual(expected[i]!.logprobs);
        accepted += timings.acceptedTokens!;
      }
    }
    expect(accepted).toBeGreaterThan(0);
    await gpu.dispose();
    await cpu.dispose();
  },
);
