/** Embeddings against sentence-transformers, and decisions against `score`, of real weights. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Container, TensorEntry } from '../../lib/native.js';
import { ggufEmbedDefaults } from '../../lib/embed/gguf-pooling.js';
import { Model, type Pooling } from '../../lib/index.js';
import { packageRoot } from '../../lib/native.js';
import { quantizeModel } from '../../lib/quantize.js';
import { expectWithin, fixtures, type GoldenTensor, readGolden, valuesOf } from './golden.js';

interface Golden {
  texts: string[];
  prompt: string;
  vectors: Record<string, GoldenTensor>;
  /** With the prompt, pooled by mean. */
  prompted: GoldenTensor;
  /** The same without the prompt's tokens, by pooling. */
  withoutPrompt: Record<string, GoldenTensor>;
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

  it('tokens of a decoder have vectors too, and places in UTF-16 units', async () => {
    const text = 'Once 🙂 upon';
    const { vectors, offsets } = await models.fp32.embedTokens(text);
    expect(vectors.at(-1)).toEqual((await models.fp32.embed(text, { pooling: 'last', normalize: false }))[0]);
    const bytes = offsets.filter(([from, to]) => text.slice(from, to).includes('🙂'));
    expect(bytes.length).toBeGreaterThan(0);
    expect(Math.max(...offsets.map(([, to]) => to))).toBe(text.length);
  });

  it('a prompt goes before each text', async () => {
    const [first, ...others] = await models.fp32.embed(golden.texts, { prompt: golden.prompt });
    const expected = rows(golden.prompted);
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

describe('a folder of sentence-transformers', () => {
  const created: string[] = [];
  afterAll(() => {
    for (const folder of created) rmSync(folder, { recursive: true });
  });

  /** stories-260k with these JSON files beside it. */
  function folderWith(files: Record<string, unknown>): string {
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-embed-'));
    created.push(folder);
    cpSync(join(packageRoot, 'models', 'stories-260k'), folder, { recursive: true });
    for (const [name, value] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), JSON.stringify(value));
    }
    return folder;
  }

  const step = (kind: string, idx: number) => ({
    idx,
    name: `${idx}`,
    path: idx === 0 ? '' : `${idx}_${kind}`,
    type: `sentence_transformers.models.${kind}`,
  });
  const steps = (...kinds: string[]) => kinds.map(step);
  const prompts = { prompts: { story: golden.prompt }, default_prompt_name: 'story' };
  const row = (tensor: GoldenTensor, i: number, size = 64) =>
    (valuesOf(tensor) as Float32Array).subarray(i * size, (i + 1) * size);

  const older = (mode: string) => ({
    pooling_mode_cls_token: mode === 'cls',
    pooling_mode_mean_tokens: mode === 'mean',
    pooling_mode_lasttoken: mode === 'lasttoken',
    pooling_mode_weightedmean_tokens: mode === 'weightedmean',
    pooling_mode_mean_sqrt_len_tokens: mode === 'mean_sqrt_len_tokens',
  });
  const newer = (pooling_mode: string) => ({ pooling_mode, embedding_dimension: 64 });

  it.each(Object.keys(golden.withoutPrompt))('is obeyed: %s, a prompt that is not pooled', async (mode) => {
    const expected = golden.withoutPrompt[mode];
    for (const pooling of [older(mode), newer(mode)]) {
      const folder = folderWith({
        'modules.json': steps('Transformer', 'Pooling'),
        '1_Pooling/config.json': { ...pooling, include_prompt: false },
        'config_sentence_transformers.json': prompts,
      });
      const model = await Model.load(folder, { dtype: 'fp32' });
      const vectors = await model.embed(golden.texts);
      await model.dispose();
      // No step normalises.
      vectors.forEach((vector, i) => {
        expectWithin(vector, row(expected, i), 1e-4, `text ${i}`);
      });
    }
  });

  it('goes into the INT8 form', async () => {
    const folder = folderWith({
      'modules.json': steps('Transformer', 'Pooling'),
      '1_Pooling/config.json': newer('cls'),
      'config_sentence_transformers.json': prompts,
      'sentence_bert_config.json': { max_seq_length: 400 },
    });
    const out = join(folder, 'int8');
    const { files } = await quantizeModel(folder, out);
    expect(files.map(({ path }) => path)).toContain(join(out, '1_Pooling', 'config.json'));
    const [source, quantized] = await Promise.all([Model.load(folder), Model.load(out)]);
    expect(await quantized.embed(golden.texts)).toEqual(await source.embed(golden.texts));
    await Promise.all([source.dispose(), quantized.dispose()]);
  });

  it('cuts as sentence-transformers does where its files name a longest text', async () => {
    const folder = folderWith({
      'modules.json': steps('Transformer', 'Pooling', 'Normalize'),
      '1_Pooling/config.json': { pooling_mode_lasttoken: true },
      'sentence_bert_config.json': { max_seq_length: 5, do_lower_case: false },
    });
    const model = await Model.load(folder, { dtype: 'fp32' });
    const ids = model.tokenizer.encode(golden.texts[1]);
    const short = model.tokenizer.decode(ids.subarray(0, 5));
    await expect(model.embed(golden.texts)).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    const vectors = await model.embed([golden.texts[1], short], { overflow: 'truncate' });
    await model.dispose();
    expect(vectors[0]).toEqual(vectors[1]);
    expect(dot(vectors[0], vectors[0])).toBeCloseTo(1, 5);
    expect(vectors.shortened).toEqual([{ index: 0, tokens: ids.length, kept: 5, pieces: 1 }]);
  });

  it.each([
    ['LSTM', { 'modules.json': steps('Transformer', 'LSTM', 'Pooling') }],
    ['Normalize, Pooling', { 'modules.json': steps('Transformer', 'Normalize', 'Pooling') }],
    ['without Pooling', { 'modules.json': steps('Transformer') }],
    ['several', { 'modules.json': steps('Transformer', 'Pooling') }],
  ])('with %s generates, and refuses to embed', async (message, files) => {
    const pooling = { pooling_mode_cls_token: true, pooling_mode_max_tokens: true };
    const model = await Model.load(folderWith({ ...files, '1_Pooling/config.json': pooling }));
    await expect(model.embed('Once')).rejects.toMatchObject({
      code: 'UNSUPPORTED_ARCHITECTURE',
      message: expect.stringContaining(message),
    });
    expect((await model.generate('Once', { maxTokens: 2 })).tokens).toHaveLength(2);
    await model.dispose();
  });

  it.each([
    ['modules.json', { 'modules.json': {} }],
    ['path', { 'modules.json': [{ ...step('Pooling', 1), path: '../1_Pooling' }] }],
    [
      'pooling_mode',
      { 'modules.json': steps('Transformer', 'Pooling'), '1_Pooling/config.json': { pooling_mode: 'sum' } },
    ],
  ])('with a wrong %s is MODEL_FORMAT', async (message, files) => {
    await expect(Model.load(folderWith(files))).rejects.toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringContaining(message),
    });
  });
});

describe('an encoder', () => {
  const bert = `${fixtures}encoders/bert`;
  let model: Model;
  beforeAll(async () => {
    model = await Model.load(bert);
  });
  afterAll(() => model.dispose());

  it('gives vectors alone', async () => {
    expect(model.info.kind).toBe('encoder');
    const refused = { code: 'INVALID_OPTION', message: expect.stringContaining('is an encoder (bert)') };
    await expect(model.generate('The')).rejects.toMatchObject(refused);
    await expect(model.score('The creature')).rejects.toMatchObject(refused);
    await expect(model.decide('The', { boolean: true })).rejects.toMatchObject(refused);
    expect(() => model.createSession()).toThrow(expect.objectContaining(refused));
    expect(await model.embed('The')).toHaveLength(1);
  });

  it('reads a text of its context whole, and refuses a longer one unless told otherwise', async () => {
    const text = 'a '.repeat(model.info.contextLength - 2);
    expect((await model.embed(text)).tokens).toBe(model.info.contextLength);
    await expect(model.embed([text, `${text}a`])).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    const cut = await model.embed([`${text}a`, text], { overflow: 'truncate' });
    expect(cut[0]).toEqual(cut[1]);
    const [one] = await model.embed(`${text}a`, { overflow: 'chunk' });
    expect(cosine(one, cut[0])).toBeGreaterThan(0.9);
  });

  it('gives each of many texts what it gets alone, and stops when it is told to', async () => {
    const texts = Array.from({ length: 70 }, (_, i) => 'a '.repeat(1 + (i % 20)));
    const together = await model.embed(texts);
    for (const i of [0, 19, 44]) expect((await model.embed(texts[i]))[0]).toEqual(together[i]);
    const stop = new AbortController();
    const running = model.embed(texts, { signal: stop.signal, onProgress: () => stop.abort() });
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
    expect(await model.embed(texts[3])).toEqual(Object.assign([together[3]], { tokens: 6, shortened: [] }));
  });

  it('gives one vector a token, with its place in the text', async () => {
    const text = 'The creature opened its eyes.';
    const { vectors, ids, offsets } = await model.embedTokens(text);
    expect(ids).toEqual(model.tokenizer.encode(text));
    expect(vectors).toHaveLength(ids.length);
    expect([offsets[0], offsets.at(-1)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
    // What the tokens of the text stand for is all of it but the spaces.
    expect(offsets.map(([from, to]) => text.slice(from, to)).join('')).toBe(text.replaceAll(' ', ''));
    const mean = vectors[0].map((_, k) => vectors.reduce((sum, row) => sum + row[k], 0) / vectors.length);
    expect(cosine(mean, (await model.embed(text))[0])).toBeGreaterThan(0.9999999);
    const unit = await model.embedTokens(text, { normalize: true });
    for (const [i, vector] of unit.vectors.entries()) {
      expect(dot(vector, vector)).toBeCloseTo(1, 5);
      expect(cosine(vector, vectors[i])).toBeGreaterThan(0.9999999);
    }
  });

  it('refuses tokens of what is no text, and of one that is too long', async () => {
    for (const text of [['The'], Int32Array.of(5), undefined, '\ud800']) {
      await expect(model.embedTokens(text as string)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
    const long = 'a '.repeat(model.info.contextLength);
    await expect(model.embedTokens(long)).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    await expect(model.embedTokens('a', { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  it('in GGUF is pooled as its file says', async () => {
    const gguf = await Model.load(`${bert}/bert.gguf`);
    const cls = await gguf.embed('The creature', { pooling: 'cls' });
    expect(await gguf.embed('The creature')).toEqual(await gguf.embed('The creature', { pooling: 'mean' }));
    expect((await gguf.embed('The creature'))[0]).not.toEqual(cls[0]);
    await gguf.dispose();
    const of = (type?: number, tensors: TensorEntry[] = []) => {
      const metadata = { 'general.architecture': 'bert', ...(type && { 'bert.pooling_type': type }) };
      return ggufEmbedDefaults({ metadata, tensors } as unknown as Container, 32);
    };
    const poolings = await Promise.all([of(), of(1), of(2), of(3)]);
    expect(poolings.map(({ pooling }) => pooling)).toEqual(['mean', 'mean', 'cls', 'last']);
    expect((await of(4)).unsupported).toContain('pooling type 4');
    const wide = { name: 'dense_2.weight', dtype: 'F32', shape: [8, 33], bytes: 1056 };
    await expect(of(1, [wide])).rejects.toMatchObject({ code: 'MODEL_FORMAT' });
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

  it('listens to one signal hundreds of times without a warning', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    const { signal } = new AbortController();
    const { probabilities } = await model.decide(prompt, { score: [100, 160], signal });
    expect(Object.keys(probabilities)).toHaveLength(61);
    await model.embed(
      Array.from({ length: 60 }, (_, i) => `text ${i}`),
      { signal },
    );
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warn);
    expect(warnings).toEqual([]);
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
