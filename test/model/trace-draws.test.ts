/** Why a token: the stages of the sampler in a trace, and which prefix came from the cache. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Trace, type TraceSampling } from '../../lib/index.js';

const prompt = 'Once upon a time there was a little girl';
let model: Model;
beforeAll(async () => {
  model = await Model.load('stories-260k', { device: 'cpu' });
});
afterAll(() => model.dispose());

/** Of all tokens, the most probable first. */
function softmax(logits: Float32Array, temperature: number): { id: number; probability: number }[] {
  const largest = Math.max(...logits);
  const weights = Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  const sum = weights.reduce((a, b) => a + b);
  return weights
    .map((weight, id) => ({ id, probability: weight / sum }))
    .sort((a, b) => b.probability - a.probability || a.id - b.id);
}

const drawn = (sampling: TraceSampling | undefined): Promise<Trace> =>
  model.trace(prompt, { generate: 6, top: 30, tensors: ['logits'], ...(sampling ? { sampling } : {}) });

describe('draws', () => {
  it('are those of generate, stage by stage what the logits give', async () => {
    const sampling = { temperature: 0.8, topK: 12, topP: 0.9, minP: 0.02, seed: 4 };
    const trace = await drawn(sampling);
    const { tokens } = await model.generate(prompt, { ...sampling, maxTokens: 6 });
    expect(trace.draws.map(({ id }) => id)).toEqual(tokens);
    expect(trace.draws.some(({ uniform }) => uniform !== undefined)).toBe(true);
    const generated = trace.tokens.filter((token) => token.generated);
    expect(trace.draws.map(({ id, text }) => ({ id, text, generated: true }))).toEqual(generated);
    for (const { position, id, uniform, stages } of trace.draws) {
      if (stages.at(-1)!.left === 1) expect(uniform).toBeUndefined();
      else expect(uniform).toSatisfy((n: number) => n >= 0 && n < 1);
      expect(stages.map(({ stage }) => stage)).toEqual(['logits', 'temperature', 'topK', 'topP', 'minP']);
      const logits = trace.get('logits').at(position - 1);
      let left = softmax(logits, 1);
      const check = (index: number): void => {
        const sum = left.reduce((total, { probability }) => total + probability, 0);
        const shown = stages[index]!;
        expect(shown.left, shown.stage).toBe(left.length);
        // Behind the temperature the sampler holds no more than top-k will look at.
        const count = Math.min(index === 1 ? 12 : 30, left.length);
        expect(shown.top.map((one) => one.id)).toEqual(left.slice(0, count).map((one) => one.id));
        for (const [i, one] of shown.top.entries()) {
          expect(one.probability).toBeCloseTo(left[i]!.probability / sum, 5);
          expect(one.logit).toBe(logits[one.id]);
        }
      };
      check(0);
      left = softmax(logits, 0.8);
      check(1);
      left = left.slice(0, 12);
      check(2);
      let mass = 0;
      const all = left.reduce((sum, { probability }) => sum + probability, 0);
      left = left.filter(({ probability }) => {
        const before = mass;
        mass += probability;
        return before < 0.9 * all;
      });
      check(3);
      left = left.filter(({ probability }) => probability >= 0.02 * left[0]!.probability);
      check(4);
      expect(left.map((one) => one.id)).toContain(id);
    }
  });

  it('greedy ones have one token left, and the drawing number is not asked', async () => {
    const { draws, predictions } = await drawn(undefined);
    expect(draws).toHaveLength(6);
    for (const { position, id, uniform, stages } of draws) {
      expect(uniform).toBeUndefined();
      expect(stages.map(({ stage }) => stage)).toEqual(['logits', 'greedy']);
      expect(stages[1]).toMatchObject({ left: 1, top: [{ id, probability: 1 }] });
      const { top } = predictions[position - 1]!;
      expect(stages[0]!.top.slice(0, 10).map((one) => one.id)).toEqual(top.slice(0, 10).map((one) => one.id));
    }
  });

  it('penalties come before the rest, at once with the temperature where it is the first', async () => {
    const bias = { 430: 50 };
    const trace = await drawn({ temperature: 0.7, logitBias: bias, seed: 2 });
    const [{ stages, id, position }] = trace.draws as [Trace['draws'][number]];
    expect(stages.map(({ stage }) => stage)).toEqual(['logits', 'penalties and temperature']);
    expect(id).toBe(430);
    expect(stages[1]!.top[0]!.logit).toBe(Math.fround(trace.get('logits').at(position - 1)[430]! + 50));
    expect(stages[1]!.left).toBe(model.info.vocabSize);
  });

  it('the one that ends the text is there too, behind its last token', async () => {
    const end = [...model.tokenizer.endTokenIds][0] ?? 2;
    const trace = await drawn({ temperature: 1, seed: 1, logitBias: { [end]: 100 } });
    expect(trace.tokens.some(({ generated }) => generated)).toBe(false);
    expect(trace.draws).toMatchObject([{ position: trace.tokens.length, id: end }]);
  });
});

it('says how much of the prompt came from the cache', async () => {
  await using fresh = await Model.load('stories-260k', { device: 'cpu' });
  const first = await fresh.trace(prompt, { generate: 2, tensors: [] });
  expect(first.cachedTokens).toBe(0);
  const again = await fresh.trace(prompt, { generate: 2, tensors: [] });
  const { usage } = await fresh.generate(prompt, { maxTokens: 2, temperature: 0 });
  expect(again.cachedTokens).toBe(usage.cachedTokens);
  expect(again.cachedTokens).toBeGreaterThan(0);
  expect((await fresh.trace(prompt, { tensors: [] })).cachedTokens).toBeUndefined();
});

it.each([
  [{ sampling: { temperature: 1 } }, 'sampling'],
  [{ generate: 2, sampling: { n: 2 } }, 'sampling'],
  [{ generate: 2, sampling: { topK: -1 } }, 'topK'],
  [{ generate: 2, sampling: [] }, 'sampling'],
  [{ predictions: 1 }, 'predictions'],
  [{ timeline: 'yes' }, 'timeline'],
  [{ folder: '' }, 'folder'],
  [{ folder: 'a\0b' }, 'folder'],
])('%j is refused', async (options, option) => {
  await expect(model.trace(prompt, options as never)).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    details: { option },
  });
});
