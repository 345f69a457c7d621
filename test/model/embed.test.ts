/** Embeddings against sentence-transformers, and decisions against `score`, of real weights. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Pooling } from '../../lib/index.js';
import { type GoldenTensor, readGolden, valuesOf } from './golden.js';

interface Golden {
  texts: string[];
  prompt: string;
  vectors: Record<string, GoldenTensor>;
  prompted: Record<'true' | 'false', GoldenTensor>;
}

/** Our names of what sentence-transformers calls so. */
const poolings: [string, Pooling][] = [
  ['mean', 'mean'],
  ['cls', 'cls'],
  ['lasttoken', 'last'],
  ['max', 'max'],
  ['weightedmean', 'weighted-mean'],
  ['mean_sqrt_len_tokens', 'mean-sqrt-length'],
];

const golden = readGolden<Golden>('embeddings/stories-260k.json');
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};
const cosine = (a: ArrayLike<number>, b: ArrayLike<number>) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

describe('embed', () => {
  const models = {} as Record<'fp32' | 'int8', Model>;
  beforeAll(async () => {
    for (const dtype of ['fp32', 'int8'] as const)
      models[dtype] = await Model.load('stories-260k', { dtype });
  });
  afterAll(() => Promise.all(Object.values(models).map((model) => model.dispose())));

  const rows = (tensor: GoldenTensor) => {
    const values = valuesOf(tensor) as Float32Array;
    const size = models.fp32.info.hiddenSize;
    return golden.texts.map((_, i) => values.subarray(i * size, (i + 1) * size));
  };

  it.each(poolings)('%s equals sentence-transformers', async (theirs, pooling) => {
    const expected = rows(golden.vectors[theirs]);
    const options = { pooling, normalize: false };
    const vectors = await models.fp32.embed(golden.texts, options);
    const quantized = await models.int8.embed(golden.texts, options);
    expected.forEach((row, i) => {
      const largest = Math.max(...row.map(Math.abs));
      for (const [k, value] of row.entries())
        expect(Math.abs(vectors[i][k] - value) / largest).toBeLessThan(2e-5);
      expect(cosine(vectors[i], row)).toBeGreaterThan(0.999999);
      expect(cosine(quantized[i], row)).toBeGreaterThan(0.99);
    });
  });

  it('a prompt goes before each text', async () => {
    const [first, ...others] = await models.fp32.embed(golden.texts, { prompt: golden.prompt });
    const expected = rows(golden.prompted.true);
    [first, ...others].forEach((vector, i) => {
      expect(cosine(vector, expected[i])).toBeGreaterThan(0.999999);
      expect(dot(vector, vector)).toBeCloseTo(1, 5);
    });
  });

  it('one text is one vector, and wrong ones are refused', async () => {
    const model = models.int8;
    const [alone] = await model.embed(golden.texts[3]);
    expect(alone).toEqual((await model.embed(golden.texts))[3]);
    for (const texts of [5, null, [5], ['a', undefined], ['\ud800']]) {
      await expect(model.embed(texts as string[])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
    for (const options of [{ pooling: 'sum' }, { dimensions: 65 }, { normalise: true }, { prompt: 5 }]) {
      await expect(model.embed(['a'], options as object)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
  });
});

describe('decide', () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load('stories-260k');
  });
  afterAll(() => model.dispose());
  const prompt = 'Once upon a time there was a little';

  it('is the softmax of the scores of the whole texts', async () => {
    const choices = [' girl', ' boy named Tim', ' dog.', ' cup of tea'];
    const scores = await Promise.all(choices.map((choice) => model.score(prompt + choice)));
    const likelihoods = scores.map(({ logLikelihood }) => Math.exp(logLikelihood - scores[0].logLikelihood));
    const total = likelihoods.reduce((a, b) => a + b);
    const { choice, probabilities } = await model.decide(prompt, { choices });
    expect(Object.keys(probabilities)).toEqual(choices);
    choices.forEach((name, i) => {
      expect(probabilities[name]).toBeCloseTo(likelihoods[i] / total, 9);
    });
    expect(choice).toBe(choices[likelihoods.indexOf(Math.max(...likelihoods))]);
    expect(Object.values(probabilities).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  });

  it('gives numbers and truth values, after texts and token ids', async () => {
    const { choice, probabilities } = await model.decide(prompt, { score: [1, 5] });
    expect(Object.keys(probabilities)).toEqual(['1', '2', '3', '4', '5']);
    expect(probabilities[String(choice)]).toBe(Math.max(...Object.values(probabilities)));
    expect(typeof choice).toBe('number');
    const ids = model.tokenizer.encode(prompt);
    const { choice: truth, probabilities: two } = await model.decide(ids, { boolean: true });
    expect(two[String(truth)]).toBeGreaterThanOrEqual(0.5);
    expect(Object.keys(two).sort()).toEqual(['false', 'true']);
  });

  it('refuses token ids that the model does not have, and messages without a template', async () => {
    await expect(model.decide(Int32Array.of(1, 512), { boolean: true })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    await expect(model.decide([{ role: 'user', content: 'Hi' }], { boolean: true })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });
});
