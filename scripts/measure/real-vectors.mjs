// Vectors as people search them: the token table of a model, or the sentences of texts through an encoder. The order is
// shuffled, the same each time, so that the first ones are a fair sample.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../../dist/index.js';

/** Fisher and Yates, in place. */
function shuffle(items) {
  let state = 1;
  for (let i = items.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (i + 1));
    [items[i], items[other]] = [items[other], items[i]];
  }
  return items;
}

/** [n * dimensions], one after another. */
function joined(vectors, dimensions) {
  const all = new Float32Array(vectors.length * dimensions);
  for (const [i, vector] of vectors.entries()) all.set(vector, i * dimensions);
  return all;
}

/** Every sentence of .md and .txt files below these paths, each once. */
function sentencesOf(paths) {
  const found = new Set();
  const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' });
  const read = (path) => {
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort()) if (name !== 'node_modules') read(join(path, name));
    } else if (/\.(md|txt)$/.test(path)) {
      for (const paragraph of readFileSync(path, 'utf8').split(/\n\s*\n/)) {
        for (const { segment } of segmenter.segment(paragraph.replace(/\s+/g, ' '))) {
          if (segment.trim().length > 2) found.add(segment.trim());
        }
      }
    }
  };
  for (const path of paths) read(path);
  return [...found];
}

/** @returns {Promise<{ vectors: Float32Array, dimensions: number }>} vectors [n, dimensions] of all tokens, in FP32 */
export async function tokenVectors(name) {
  const model = await Model.load(name, { dtype: 'fp32' });
  const table = await model.tokenVectors();
  const { dimensions } = table;
  const vectors = shuffle(table.words.map((word) => table.vector(word)));
  const all = joined(vectors, dimensions);
  await model.dispose();
  return { vectors: all, dimensions };
}

/** The same of the sentences of files and folders. */
export async function sentenceVectors(name, paths) {
  const model = await Model.load(name);
  const texts = shuffle(sentencesOf(paths));
  const vectors = await model.embed(texts, { pooling: 'mean', normalize: true, overflow: 'truncate' });
  const { hiddenSize } = model.info;
  await model.dispose();
  return { vectors: joined(vectors, hiddenSize), dimensions: hiddenSize };
}
