/** Structured answers on the emulated GPU are those of the CPU, token by token. */
import { expect, it } from 'vitest';
import { Model } from '../../lib/model.js';
import { useEmulatedGpu } from './emulated-gpu.js';

useEmulatedGpu();

const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0, maximum: 150 } },
  required: ['name', 'age'],
  additionalProperties: false,
};

async function answers(device: 'cpu' | 'cuda') {
  const model = await Model.load('models/stories-260k', { device, threads: 1, contextLength: 256 });
  try {
    const runs = [{}, { temperature: 1.3, seed: 4 }, { beams: 2 }, { n: 2, temperature: 1, seed: 9 }].map(
      (options) =>
        model.generate('Once upon a time', {
          responseFormat: { type: 'json', schema },
          maxTokens: 32,
          ...options,
        }),
    );
    return (await Promise.all(runs)).map(({ tokens, object, closed, choices }) => [
      tokens,
      object,
      closed,
      choices,
    ]);
  } finally {
    await model.dispose();
  }
}

it('gives the tokens of the CPU', async () => {
  const cpu = await answers('cpu');
  for (const [, object] of cpu) expect(Object.keys(object as object)).toEqual(['name', 'age']);
  expect(await answers('cuda')).toEqual(cpu);
});
