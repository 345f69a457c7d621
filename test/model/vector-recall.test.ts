/** What INT8 loses of real vectors: the ten nearest of MiniLM's token table, against float64 over its FP32 rows. */
import { expect, it } from 'vitest';
import { resolveModel } from '../../lib/hub/index.js';
import { Model, VectorIndex } from '../../lib/index.js';

const name = 'minilm-l6-v2';
/** Undefined where the machine does not have it. */
const found = await resolveModel(name, { download: false }).catch(() => undefined);
const missing = found ? '' : ` [skipped: no MiniLM here, node dist/cli/main.js pull ${name}]`;
const k = 10;

const lengthOf = (vector: Float32Array) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));

/** Places of the k largest cosines. */
function nearest(rows: readonly Float32Array[], lengths: Float64Array, query: Float32Array): number[] {
  const scores = Float64Array.from(rows, (row, place) => {
    let dot = 0;
    for (let i = 0; i < query.length; i++) dot += row[i] * query[i];
    return dot / lengths[place];
  });
  const least = scores.toSorted()[scores.length - k];
  return [...scores.keys()].filter((place) => scores[place] >= least);
}

it.skipIf(found === undefined)(`recall@10 of real vectors is at least 0.98${missing}`, async () => {
  const model = await Model.load(name, { dtype: 'fp32' });
  const table = await model.tokenVectors();
  const all = table.words.map((word) => table.vector(word)!);
  await model.dispose();
  // The first thousand are tokens that no text has. Every 700th of the others is a query, and no vector of the index.
  const words = all.slice(1000);
  const queries = words.filter((_, i) => i % 700 === 0);
  const rows = words.filter((_, i) => i % 700 !== 0);
  const lengths = Float64Array.from(rows, lengthOf);
  await using index = new VectorIndex(rows[0]!.length);
  await index.add(rows);
  let hits = 0;
  for (const query of queries) {
    const places = (await index.search(query, k)).map((hit) => hit.index);
    hits += nearest(rows, lengths, query).filter((place) => places.includes(place)).length;
  }
  expect(queries.length).toBeGreaterThan(40);
  expect(hits / (queries.length * k)).toBeGreaterThanOrEqual(0.98);
});
