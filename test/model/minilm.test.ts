/** all-MiniLM-L6-v2 against sentence-transformers, over texts of all lengths. */
import { expect, it } from 'vitest';
import { aliases } from '../../lib/hub/aliases.js';
import { resolveModel } from '../../lib/hub/index.js';
import { Model } from '../../lib/index.js';
import { type GoldenTensor, readGolden, valuesOf } from './golden.js';

const name = 'minilm-l6-v2';
if (aliases[name]?.kind !== 'remote') throw new Error(`the alias ${name} names no package any more`);
/** Undefined where the machine does not have it. */
const found = await resolveModel(name, { download: false }).catch(() => undefined);
const missing = found ? '' : ` [skipped: no MiniLM here, node dist/cli/main.js pull ${name}]`;

const { texts, vectors } = readGolden<{ texts: string[]; vectors: GoldenTensor }>(
  'embeddings/minilm-l6-v2.json',
);

it.skipIf(found === undefined).each([
  ['fp32', 0.99999],
  ['int8', 0.999],
] as const)(`%s: cosine at least %d${missing}`, async (dtype, least) => {
  const model = await Model.load(name, { dtype });
  // The published files name a longest text; those of the package have none.
  const embedded = await model.embed(texts, { pooling: 'mean', normalize: true });
  await model.dispose();
  const expected = valuesOf(vectors);
  const size = model.info.hiddenSize;
  const cosines = embedded.map((vector, i) =>
    vector.reduce((sum, value, k) => sum + value * expected[i * size + k]!, 0),
  );
  expect(cosines).toHaveLength(32);
  expect(Math.min(...cosines)).toBeGreaterThanOrEqual(least);
  expect(Math.max(...cosines)).toBeLessThan(1.00001);
});
