// Searching a vector index: node scripts/measure/vector-search.mjs [vectors] [dimensions] [file of float32 vectors]
//                           node scripts/measure/vector-search.mjs tokens MODEL
//                           node scripts/measure/vector-search.mjs sentences MODEL PATH...
// Time of a query beside the best read of a huge-page buffer in the same run, and recall@10 of INT8 against float32, by
// looking at every vector in float32. Queries are not in the index. Without a file the vectors are random: sums of four
// uniform numbers. `tokens` takes a model's token table, `sentences` those of the .md and .txt files below some paths.
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { native } from '../../dist/native.js';
import { VectorIndex } from '../../dist/index.js';
import { sentenceVectors, tokenVectors } from './real-vectors.mjs';

const { machineLimits } = createRequire(import.meta.url)('../../build/Release/kvasir_testing.node');
const args = process.argv.slice(2);
const K = 10;
const ROUNDS = 21;
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** A float64 sum over every vector each: few where there are many. */
const queriesFor = (count) => Math.min(200, Math.max(20, Math.round(2e7 / count)));

function random(count) {
  const values = new Float32Array(count);
  let state = 2463534242;
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = (state & 255) + ((state >>> 8) & 255) + ((state >>> 16) & 255) + (state >>> 24) - 510;
  }
  return values;
}

async function readFloats(path) {
  const parts = [];
  for await (const part of createReadStream(path)) parts.push(part);
  const bytes = Buffer.concat(parts);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}

/** Places of the k largest cosines, in float64. */
function brute(vectors, dimensions, inverse, query) {
  const best = [];
  for (let row = 0; row < inverse.length; row++) {
    let sum = 0;
    for (let i = 0, at = row * dimensions; i < dimensions; i++) sum += query[i] * vectors[at + i];
    const score = sum * inverse[row];
    if (best.length === K && score <= best[K - 1].score) continue;
    best.push({ row, score });
    best.sort((a, b) => b.score - a.score);
    best.length = Math.min(best.length, K);
  }
  return best.map(({ row }) => row);
}

/** [n, dimensions], the queries first. */
async function source() {
  const [what = '1000000', second = '384', ...paths] = args;
  if (what === 'tokens') return tokenVectors(second);
  if (what === 'sentences') return sentenceVectors(second, paths);
  const dimensions = Number(second);
  const [file] = paths;
  if (file !== undefined) return { vectors: await readFloats(file), dimensions };
  return { vectors: random((Number(what) + queriesFor(Number(what))) * dimensions), dimensions };
}

const { vectors: all, dimensions } = await source();
const QUERIES = queriesFor(all.length / dimensions);
const queries = Array.from({ length: QUERIES }, (_, i) => all.subarray(i * dimensions, (i + 1) * dimensions));
const vectors = all.subarray(QUERIES * dimensions);
const count = Math.floor(vectors.length / dimensions);
const index = new VectorIndex(dimensions);
const started = performance.now();
const rows = Math.floor(2 ** 24 / dimensions);
for (let from = 0; from < count; from += rows) {
  await index.add(vectors.subarray(from * dimensions, Math.min(count, from + rows) * dimensions));
}
const addSeconds = (performance.now() - started) / 1000;

const { selected, cores } = native().cpu();
const bytes = count * (Math.ceil(dimensions / 32) * 32 + 4);
const [times, batched, reads] = [[], [], []];
for (let round = 0; round < ROUNDS; round++) {
  reads.push(machineLimits(selected, cores, 144 * 2 ** 20).readBytesPerSecond);
  let from = performance.now();
  await index.search(queries[round % QUERIES], K);
  times.push(performance.now() - from);
  from = performance.now();
  await Promise.all(queries.slice(0, 8).map((query) => index.search(query, K)));
  batched.push((performance.now() - from) / 8);
}

const inverse = Float64Array.from({ length: count }, (_, row) => {
  let sum = 0;
  for (let i = row * dimensions; i < (row + 1) * dimensions; i++) sum += vectors[i] * vectors[i];
  return sum === 0 ? 0 : 1 / Math.sqrt(sum);
});
let found = 0;
for (const query of queries) {
  const hits = new Set((await index.search(query, K)).map((hit) => hit.index));
  found += brute(vectors, dimensions, inverse, query).filter((row) => hits.has(row)).length;
}
await index.dispose();
const rounded = (value, digits = 2) => Number(value.toFixed(digits));
const [ms, read] = [median(times), Math.max(...reads)];
console.log(
  JSON.stringify({
    kernels: selected,
    threads: cores,
    vectors: count,
    dimensions,
    addSeconds: rounded(addSeconds),
    queryMs: { median: rounded(ms), best: rounded(Math.min(...times)), worst: rounded(Math.max(...times)) },
    eightAtOnceMsEach: rounded(median(batched)),
    readGBs: { best: rounded(read / 1e9), median: rounded(median(reads) / 1e9) },
    searchGBs: rounded(bytes / ms / 1e6),
    shareOfRead: rounded(((bytes / ms) * 1000) / read, 3),
    shareOfMedianRead: rounded(((bytes / ms) * 1000) / median(reads), 3),
    recallAt10: rounded(found / (QUERIES * K), 4),
    queries: QUERIES,
  }),
);
