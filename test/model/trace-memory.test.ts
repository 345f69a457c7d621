/** A long text traced in bounded memory. Alone in its file: it reads the process's largest resident size. */
import { afterAll, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { partsOf } from '../../lib/trace/text-run.js';
import { longFolder } from './windowed-folder.js';

const { path, remove } = longFolder('mistral', { max_position_embeddings: 8192, sliding_window: null });
afterAll(remove);

const megabytes = () => process.resourceUsage().maxRSS / 1024;

it('8,000 tokens for the entropy of attention alone', { timeout: 300_000 }, async () => {
  const tokens = 8000;
  const ids = Int32Array.from({ length: tokens }, (_, i) => 3 + ((i * i) % 50));
  await using model = await Model.load(path, { device: 'cpu', contextLength: 8192 });
  const heads = 4;
  // What the process has anyway, with code that has run.
  await model.trace(ids.subarray(0, 600), { tensors: ['attention_entropy'], predictions: false });
  const before = megabytes();
  const trace = await model.trace(ids, { tensors: ['attention_entropy'], predictions: false });
  const grown = megabytes() - before;
  const weights = (model.info.layers * heads * tokens * tokens * 4) / 2 ** 20;
  expect(weights).toBeGreaterThan(1900);
  expect(grown).toBeLessThan(120);
  for (const { shape } of trace.tensors) expect(shape).toEqual([tokens, heads]);
  // The last rows are those of weights that are held.
  const last = await model.trace(ids, {
    tensors: ['weights'],
    layers: [1],
    tokens: [tokens - 2, tokens],
    predictions: false,
  });
  for (let head = 0; head < heads; head++) {
    const row = last.get('layers.1.weights').at(head, 1);
    const entropy = row.reduce((sum, weight) => (weight > 0 ? sum - weight * Math.log(weight) : sum), 0);
    expect(trace.get('layers.1.attention_entropy').at(tokens - 1, head)[0]).toBeCloseTo(entropy, 4);
  }
});

it('scores of a part take at most 32 MB, and parts without scores are whole steps', async () => {
  await using model = await Model.load(path, { device: 'cpu', contextLength: 8192 });
  const { spec, stepTokens } = tracedOf(model);
  const heads = 4;
  for (const tokens of [1, 600, 3000, 8000]) {
    for (const name of ['scores', 'weights', 'attention_entropy']) {
      const parts = partsOf({ spec, stepTokens }, tokens, [name]);
      expect(parts.flatMap(({ first, end }) => [first, end])).toEqual([
        0,
        ...parts.slice(1).flatMap(({ first }) => [first, first]),
        tokens,
      ]);
      const most = Math.max(...parts.map(({ first, end }) => end - first));
      expect(4 * heads * tokens * most).toBeLessThanOrEqual(32 * 2 ** 20);
    }
    const [whole] = partsOf({ spec, stepTokens }, tokens, ['attn_residual']);
    expect(whole).toEqual({ first: 0, end: Math.min(tokens, stepTokens) });
  }
});
