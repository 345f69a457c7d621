/** `neighbours` of `model.trace`: which rows of the token table point the way of the residual stream. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, type Trace } from '../../lib/index.js';
import { tracedOf } from '../../lib/model.js';
import { fixtures } from './golden.js';

const ids = Int32Array.of(3, 17, 5, 60, 41, 8, 29);

/** All tokens by the cosine of their row and a vector, in float64. */
function ranked(table: Float32Array, vector: Float32Array): { id: number; cosine: number }[] {
  const size = vector.length;
  const length = (values: Float32Array): number => Math.hypot(...values);
  return Array.from({ length: table.length / size }, (_, id) => {
    const row = table.subarray(id * size, (id + 1) * size);
    const product = row.reduce((sum, value, i) => sum + value * vector[i]!, 0);
    return { id, cosine: product / (length(row) * length(vector)) };
  }).sort((a, b) => b.cosine - a.cosine || a.id - b.id);
}

describe.each(['stories-260k', `${fixtures}families/mixtral`, `${fixtures}encoders/bert`])(
  '%s',
  (reference) => {
    let model: Model;
    let trace: Trace;
    let table: Float32Array;
    beforeAll(async () => {
      model = await Model.load(reference, { device: 'cpu', dtype: 'int8' });
      const { engine, inspection, spec } = tracedOf(model);
      table = await engine.visit(1, () => inspection.weightRows('embed.tokens', 0, spec.vocabSize));
      trace = await model.trace(ids, { neighbours: 4, tensors: ['embed', 'ffn_residual'] });
    });
    afterAll(() => model?.dispose());

    it('are the rows with the greatest cosines, before the first layer and behind each one', () => {
      const places = [undefined, ...Array.from({ length: model.info.layers }, (_, layer) => layer)];
      expect(trace.neighbours.map(({ layer, position }) => [layer, position])).toEqual(
        places.flatMap((layer) => Array.from(ids, (_, position) => [layer, position])),
      );
      for (const { layer, position, nearest } of trace.neighbours) {
        const name = layer === undefined ? 'embed' : `layers.${layer}.ffn_residual`;
        const expected = ranked(table, trace.get(name).at(position)).slice(0, 4);
        expect(nearest.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
        for (const [i, { id, text, cosine }] of nearest.entries()) {
          expect(cosine).toBeCloseTo(expected[i]!.cosine, 9);
          expect(text).toBe(tracedOf(model).textOf(id));
        }
      }
    });

    it('are those of the layers and tokens that are kept, and in what is saved', async () => {
      const part = await model.trace(ids, { neighbours: 4, layers: [1], tokens: [2, 4], tensors: [] });
      const kept = trace.neighbours.filter(
        ({ layer, position }) => (layer === undefined || layer === 1) && position >= 2 && position < 4,
      );
      expect(part.neighbours).toEqual(kept);
      expect(JSON.parse(JSON.stringify(part)).neighbours).toEqual(JSON.parse(JSON.stringify(kept)));
      expect((await model.trace(ids, { tensors: [] })).neighbours).toEqual([]);
    });
  },
);

describe('stories-260k', () => {
  it('a token is its own nearest one before the first layer, and another one behind the last', async () => {
    await using model = await Model.load('stories-260k', { device: 'cpu', dtype: 'fp32' });
    const { neighbours } = await model.trace(ids, { neighbours: 1, tensors: [] });
    const at = (wanted: number | undefined): number[] =>
      neighbours.filter(({ layer }) => layer === wanted).map(({ nearest }) => nearest[0]!.id);
    expect(at(undefined)).toEqual([...ids]);
    expect(at(model.info.layers - 1)).not.toEqual([...ids]);
  });

  it('an abort ends it with its reason, and a count beyond 100 is refused', async () => {
    await using model = await Model.load('stories-260k', { device: 'cpu' });
    const reason = new Error('enough');
    const stop = new AbortController();
    const tracing = model.trace(ids, {
      neighbours: 3,
      signal: stop.signal,
      onProgress: ({ done }) => done === 1 && stop.abort(reason),
    });
    await expect(tracing).rejects.toBe(reason);
    for (const neighbours of [-1, 101, 1.5, 'all']) {
      await expect(model.trace(ids, { neighbours } as never)).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        details: { option: 'neighbours' },
      });
    }
  });
});
