/** `model.trace`: the layers that generate, with their bits, seen from outside. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Trace } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { expectSameBits, expectWithin, type GoldenTensor, readGolden, valuesOf } from './golden.js';
import { readTensor } from './testing-addon.js';

describe('nano-gpt-sort', () => {
  const partials = readGolden<Record<string, GoldenTensor>>('nano-gpt-sort-partials.json');
  const nTokens = 11;
  const ids = Int32Array.from(valuesOf(partials.idx!));

  const names: Record<string, string> = {
    tok_emb: 'token_embed',
    x: 'embed',
    ln1: 'layers.0.attn_norm',
    q: 'layers.0.q',
    k: 'layers.0.k',
    v: 'layers.0.v',
    attSm: 'layers.0.weights',
    attnResid: 'layers.0.attn_residual',
    ln2: 'layers.0.ffn_norm',
    fc: 'layers.0.up',
    gelu: 'layers.0.activation',
    mlpResid: 'layers.0.ffn_residual',
    block1: 'layers.1.ffn_residual',
    block2: 'layers.2.ffn_residual',
    ln_f: 'final_norm',
    lm_head: 'logits',
  };

  it('every tensor is the published one', async () => {
    await using model = await Model.load('nano-gpt-sort', { device: 'cpu', dtype: 'fp32' });
    const tensors = [...new Set(Object.values(names).map((name) => name.replace(/^layers\.\d\./, '')))];
    for (let index = 0; index < 3; index++) {
      const trace = await model.trace(ids.slice(index * nTokens, (index + 1) * nTokens), {
        tensors: tensors as never,
      });
      for (const [published, name] of Object.entries(names)) {
        const golden = partials[published]!;
        const [, ...shape] = golden.shape;
        expect(trace.get(name).shape, name).toEqual(shape);
        const size = shape.reduce((product, n) => product * n, 1);
        const values = valuesOf(golden).subarray(index * size, (index + 1) * size) as Float32Array;
        expectWithin(trace.get(name).values, values, 1e-5, name);
      }
      // Scores are published scaled, and -inf where a row does not see.
      const seen = (valuesOf(partials.att!) as Float32Array)
        .subarray(index * 3 * nTokens * nTokens, (index + 1) * 3 * nTokens * nTokens)
        .map((score) => (Number.isFinite(score) ? score : 0));
      const { tensors: scores } = await model.trace(ids.slice(index * nTokens, (index + 1) * nTokens), {
        tensors: ['scores'],
        layers: [0],
      });
      expectWithin(scores[0]!.values, seen, 1e-5, 'scores');
    }
  });
});

describe('stories-260k', () => {
  const prompt = 'Once upon a time there was a little girl named Lily';
  let model: Model;
  let whole: Trace;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-trace-'));
    model = await Model.load('stories-260k', { device: 'cpu' });
    whole = await model.trace(prompt, {
      tensors: ['q', 'k', 'v', 'scores', 'weights', 'gate', 'ffn_residual', 'logits'],
    });
  });
  afterAll(async () => {
    await model.dispose();
    rmSync(folder, { recursive: true });
  });

  it('weights of a row sum to 1 and see no later position', () => {
    const { tokens } = whole;
    for (const { name, shape, at } of whole.tensors.filter(({ name }) => name.endsWith('.weights'))) {
      expect(shape, name).toEqual([8, tokens.length, tokens.length]);
      const tensor = whole.get(name);
      for (let head = 0; head < 8; head++) {
        for (let row = 0; row < tokens.length; row++) {
          const weights = at.call(tensor, head, row);
          expect(weights.reduce((sum, weight) => sum + weight)).toBeCloseTo(1, 5);
          expect(weights.subarray(row + 1).every((weight) => weight === 0)).toBe(true);
        }
      }
    }
  });

  it('layers, heads and tokens choose parts of the same tensors', async () => {
    const part = await model.trace(prompt, {
      layers: [1, 3],
      heads: [2, 7],
      tokens: [3, 8],
      tensors: ['q', 'k', 'weights', 'gate', 'ffn_residual', 'logits'],
    });
    expect(part.from).toBe(3);
    expect(part.tensors.map(({ name }) => name)).toEqual([
      ...[1, 3].flatMap((layer) =>
        ['q', 'k', 'weights', 'gate', 'ffn_residual'].map((name) => `layers.${layer}.${name}`),
      ),
      'logits',
    ]);
    const n = whole.tokens.length;
    expect(part.get('layers.3.weights').shape).toEqual([2, 5, n]);
    expectSameBits(part.get('layers.3.weights').at(1, 4), whole.get('layers.3.weights').at(7, 7), 'weights');
    expectSameBits(part.get('layers.1.q').at(0, 0), whole.get('layers.1.q').at(2, 3), 'q');
    // Heads 2 and 7 read the keys of heads 1 and 3.
    expectSameBits(part.get('layers.1.k').at(0, 1), whole.get('layers.1.k').at(1, 4), 'k');
    expectSameBits(part.get('layers.1.k').at(1, 1), whole.get('layers.1.k').at(3, 4), 'k');
    expectSameBits(part.get('layers.1.gate').at(2), whole.get('layers.1.gate').at(5), 'gate');
    expectSameBits(part.get('logits').at(0), whole.get('logits').at(3), 'logits');
    expect(part.predictions).toEqual(whole.predictions.slice(3, 8));
  });

  it('says what is expected after each token, as score does', async () => {
    const { logLikelihood } = await model.score(prompt);
    const surprisal = whole.predictions.reduce((sum, one) => sum + (one.surprisal ?? 0), 0);
    expect(-surprisal).toBeCloseTo(logLikelihood, 3);
    expect(whole.predictions.at(-1)!.surprisal).toBeUndefined();
    const { logprobs } = await model.generate(prompt, { maxTokens: 1, logprobs: 10 });
    const { top, entropy } = whole.predictions.at(-1)!;
    expect(top.map(({ id }) => id)).toEqual(logprobs![0]!.top.map(({ id }) => id));
    for (const [i, { probability }] of top.entries())
      expect(Math.log(probability)).toBeCloseTo(logprobs![0]!.top[i]!.logprob, 4);
    const logits = whole.get('logits').at(whole.tokens.length - 1);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
    const naive = logits.reduce(
      (total, logit) => total - (Math.exp(logit) / sum) * Math.log(Math.exp(logit) / sum),
      0,
    );
    expect(entropy).toBeCloseTo(naive, 6);
  });

  it('generates first, as generate does, and traces that too', async () => {
    const { tokens } = await model.generate(prompt, { maxTokens: 5, temperature: 0 });
    const trace = await model.trace(prompt, { generate: 5, tensors: [] });
    expect(trace.tokens.filter(({ generated }) => generated).map(({ id }) => id)).toEqual(tokens);
    expect(trace.tokens).toHaveLength(whole.tokens.length + 5);
    expect(trace.tokens[1]!.text + trace.tokens[2]!.text).toBe(' Once upon');
  });

  it('the lens behind the last layer sees the predictions, and one for each layer', async () => {
    const { lens, predictions } = await model.trace(prompt, { lens: 12, tensors: [], layers: [0, 4] });
    const n = whole.tokens.length;
    expect(lens.map(({ layer, position }) => [layer, position])).toEqual(
      [0, 4].flatMap((layer) => Array.from({ length: n }, (_, position) => [layer, position])),
    );
    expect(lens.slice(n).map(({ top }) => top)).toEqual(predictions.map(({ top }) => top));
    expect(lens[0]!.top).not.toEqual(lens[n]!.top);
  });

  it('a layer that is skipped leaves the residual stream as it was', async () => {
    const trace = await model.trace(prompt, {
      interventions: [{ layer: 2, skip: true }],
      tensors: ['ffn_residual', 'logits'],
    });
    expect(trace.has('layers.2.ffn_residual')).toBe(false);
    expectSameBits(
      trace.get('layers.1.ffn_residual').values,
      whole.get('layers.1.ffn_residual').values,
      'before',
    );
    expect(trace.get('layers.3.ffn_residual').values).not.toEqual(whole.get('layers.3.ffn_residual').values);
  });

  it("another run's residual stream brings its logits with it, of one token those of that token", async () => {
    const n = whole.tokens.length;
    const ids = Int32Array.from(whole.tokens, ({ id }) => id);
    const other = ids.slice();
    other[5] = 300;
    const residual = whole.get('layers.2.ffn_residual').values;
    const patched = await model.trace(other, {
      interventions: [{ layer: 2, residual }],
      tensors: ['logits', 'ffn_residual'],
    });
    expect(patched.get('layers.1.ffn_residual').values).not.toEqual(
      whole.get('layers.1.ffn_residual').values,
    );
    expectSameBits(patched.get('logits').values, whole.get('logits').values, 'logits');
    const { hiddenSize } = model.info;
    const one = await model.trace(other, {
      interventions: [{ layer: 4, token: n - 1, residual: whole.get('layers.4.ffn_residual').at(n - 1) }],
      tensors: ['logits'],
    });
    expect(hiddenSize).toBe(64);
    expectSameBits(one.get('logits').at(n - 1), whole.get('logits').at(n - 1), 'last logits');
    expect(one.get('logits').at(n - 2)).not.toEqual(whole.get('logits').at(n - 2));
  });

  it('a head that is left out attends nothing, the others what they did, and o makes the rest of it', async () => {
    await using exact = await Model.load('stories-260k', { device: 'cpu', dtype: 'fp32', kvDtype: 'fp32' });
    const tensors = ['attended', 'attn_residual', 'ffn_residual', 'logits'] as const;
    const plain = await exact.trace(prompt, { tensors });
    const without = await exact.trace(prompt, {
      tensors,
      interventions: [{ layer: 2, head: 5, skip: true }],
    });
    const [before, after] = [plain, without].map((trace) => trace.get('layers.2.attended'));
    for (let head = 0; head < 8; head++) {
      if (head === 5) expect(after!.at(head).every((value) => value === 0)).toBe(true);
      else expectSameBits(after!.at(head), before!.at(head), `head ${head}`);
    }
    const n = plain.tokens.length;
    const rows = Float32Array.from({ length: n * 64 }, (_, i) =>
      Math.floor((i % 64) / 8) === 5
        ? 0
        : before!.at(Math.floor((i % 64) / 8), Math.floor(i / 64), i % 8)[0]!,
    );
    const { engine, inspection } = tracedOf(exact);
    const added = await engine.visit(1, () => inspection.applyLinear('layers.2.o', rows));
    const stream = plain.get('layers.1.ffn_residual').values.map((value, i) => value + added[i]!);
    expectWithin(without.get('layers.2.attn_residual').values, stream, 1e-5, 'attn_residual');
    expect(without.get('logits').values).not.toEqual(plain.get('logits').values);
  });

  it("another run's head in its place brings what it attended, at one token or all, and its own changes nothing", async () => {
    await using exact = await Model.load('stories-260k', { device: 'cpu', dtype: 'fp32', kvDtype: 'fp32' });
    const tensors = ['attended', 'logits'] as const;
    const plain = await exact.trace(prompt, { tensors });
    const ids = Int32Array.from(plain.tokens, ({ id }) => id);
    ids[3] = 300;
    const other = await exact.trace(ids, { tensors });
    const own = { layer: 1, head: 4, attended: plain.get('layers.1.attended').at(4) };
    const same = await exact.trace(prompt, { tensors, interventions: [own] });
    expectSameBits(same.get('logits').values, plain.get('logits').values, 'logits');
    const foreign = other.get('layers.1.attended');
    const one = { layer: 1, head: 4, token: 6, attended: foreign.at(4, 6) };
    const patched = await exact.trace(prompt, { tensors, interventions: [one] });
    const seen = patched.get('layers.1.attended');
    expectSameBits(seen.at(4, 6), foreign.at(4, 6), 'patched');
    expectSameBits(seen.at(4, 5), plain.get('layers.1.attended').at(4, 5), 'beside it');
    expectSameBits(seen.at(3), plain.get('layers.1.attended').at(3), 'another head');
    expect(patched.get('logits').at(6)).not.toEqual(plain.get('logits').at(6));
    expectSameBits(patched.get('logits').at(5), plain.get('logits').at(5), 'what comes before');
  });

  it('attention rollout gives each token shares of the input that sum to 1', () => {
    const n = whole.tokens.length;
    const rollout = whole.rollout();
    for (let row = 0; row < n; row++) {
      const shares = rollout.subarray(row * n, (row + 1) * n);
      expect(shares.reduce((sum, share) => sum + share)).toBeCloseTo(1, 5);
      expect(shares.subarray(row + 1).every((share) => share === 0)).toBe(true);
    }
    expect(rollout[0]).toBe(1);
  });

  it('saves tensors and the rest', async () => {
    const target = join(folder, 'deep', 'trace');
    await whole.save(target);
    for (const { name, values } of whole.tensors)
      expectSameBits(readTensor([join(target, 'tensors.safetensors')], name), values, name);
    const saved = JSON.parse(readFileSync(join(target, 'trace.json'), 'utf8'));
    expect(saved.tokens).toEqual(whole.tokens);
    expect(saved.tensors[0]).toMatchObject({
      name: 'layers.0.q',
      layer: 0,
      shape: [8, whole.tokens.length, 8],
    });
    expect(saved.tensors[0].statistics).toEqual(whole.tensors[0]!.statistics);
  });

  it('other requests go on meanwhile, with the same tokens, and it has the same bits beside them', async () => {
    const alone = await model.generate('The dog', { maxTokens: 300, temperature: 0, ignoreEos: true });
    const order: string[] = [];
    const run = model.generate('The dog', { maxTokens: 300, temperature: 0, ignoreEos: true });
    let begun = () => {};
    const running = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const reading = (async () => {
      for await (const _ of run) {
        order.push('token');
        begun();
      }
      return run;
    })();
    await running;
    // Ids: nothing is to be encoded before the first layer.
    const trace = await model.trace(
      Int32Array.from(whole.tokens, ({ id }) => id),
      {
        tensors: ['logits'],
        onProgress: ({ done, total }) => order.push(`layer ${done} of ${total}`),
      },
    );
    const result = await reading;
    expectSameBits(trace.get('logits').values, whole.get('logits').values, 'logits');
    expect(result.tokens).toEqual(alone.tokens);
    expect(order.indexOf('token')).toBeLessThan(order.indexOf('layer 5 of 5'));
    expect(order.indexOf('layer 1 of 5')).toBeLessThan(order.lastIndexOf('token'));
  });

  it('an abort between two layers ends it with its reason', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const tracing = model.trace(prompt, {
      signal: stop.signal,
      onProgress: ({ done }) => done === 2 && stop.abort(reason),
    });
    await expect(tracing).rejects.toBe(reason);
    await expect(model.trace(prompt, { signal: stop.signal })).rejects.toBe(reason);
  });

  it.each([
    [{ layers: [5] }, 'layers'],
    [{ heads: [8] }, 'heads'],
    [{ heads: [] }, 'heads'],
    [{ tokens: [3, 3] }, 'tokens'],
    [{ tokens: [0, 99] }, 'tokens'],
    [{ tensors: ['nonsense'] }, 'tensors'],
    [{ lens: 101 }, 'lens'],
    [{ interventions: [{ layer: 0 }] }, 'interventions'],
    [{ interventions: [{ layer: 9, skip: true }] }, 'interventions'],
    [{ interventions: [{ layer: 0, skip: true, other: 1 }] }, 'interventions'],
    [{ interventions: [{ layer: 0, residual: new Float32Array(64), token: 99 }] }, 'interventions'],
    [{ interventions: [{ layer: 0, residual: new Float32Array(65) }] }, 'interventions'],
    [{ interventions: [{ layer: 0, residual: new Float32Array(128) }] }, 'interventions'],
    [{ interventions: [{ layer: 0, head: 8, skip: true }] }, 'interventions'],
    [{ interventions: [{ layer: 0, head: 1 }] }, 'interventions'],
    [{ interventions: [{ layer: 0, head: 1, attended: new Float32Array(8) }] }, 'interventions'],
    [{ interventions: [{ layer: 0, attended: new Float32Array(8) }] }, 'interventions'],
    [{ interventions: [{ layer: 0, head: 1, attended: new Float32Array(7), token: 0 }] }, 'interventions'],
    [{ top: 0 }, 'top'],
    [{ top: 101 }, 'top'],
    [{ nonsense: 1 }, 'nonsense'],
  ])('%j is refused', async (options, option) => {
    await expect(model.trace(prompt, options as never)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      details: { option },
    });
  });

  it('refuses a text that the context does not hold, and a tensor that is not there', async () => {
    await expect(model.trace('a '.repeat(600))).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    expect(() => whole.get('layers.0.attended')).toThrow('layers.0.attended');
    expect(() => whole.get('logits').at(99)).toThrow(RangeError);
  });

  it('ends with DISPOSED when the model goes', async () => {
    const short = await Model.load('stories-260k', { device: 'cpu' });
    const tracing = short.trace(prompt, { onProgress: ({ done }) => void (done === 1 && short.dispose()) });
    await expect(tracing).rejects.toMatchObject({ code: 'DISPOSED' });
    await short.dispose();
    await expect(short.trace(prompt)).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});
