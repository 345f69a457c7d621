/**
 * How a GGUF file says that the tokens of a text become one vector: `<architecture>.pooling_type`, then the linear steps that
 * EmbeddingGemma has (`dense_2`, `dense_3`), which have neither bias nor activation there.
 */
import { KvasirError } from '../errors.js';
import { type Container, type MetadataValue, rethrow } from '../native.js';
import { type Dense, plainDense } from './dense.js';
import { type EmbedDefaults, plainDefaults } from './embed-options.js';
import type { Pooling } from './pooling.js';

type Metadata = Readonly<Record<string, MetadataValue>>;

/** By its number; 0 says that there is none. */
const poolings: readonly (Pooling | undefined)[] = [undefined, 'mean', 'cls', 'last'];

/** Rows that are read at a time: 2 MiB of a wide one. */
const ROWS_AT_ONCE = 128;

function poolingType(metadata: Metadata): number {
  return Number(metadata[`${metadata['general.architecture']}.pooling_type`] ?? 0);
}

/** Whether a file names a pooling that is known. */
export function saysPooling(metadata: Metadata): boolean {
  return poolings[poolingType(metadata)] !== undefined;
}

/** Of a file that says nothing, those of a plain model. */
function poolingOf(metadata: Metadata): EmbedDefaults {
  const given = poolingType(metadata);
  if (given === 0) return plainDefaults;
  const pooling = poolings[given];
  if (pooling === undefined) return { ...plainDefaults, unsupported: `the pooling type ${given}` };
  return { ...plainDefaults, pooling };
}

/** The same with the linear steps behind it. Throws MODEL_FORMAT for steps that do not follow on. */
export async function ggufEmbedDefaults(container: Container, hiddenSize: number): Promise<EmbedDefaults> {
  const dense: Dense[] = [];
  for (const name of ['dense_2.weight', 'dense_3.weight']) {
    const shape = container.tensors.find((tensor) => tensor.name === name)?.shape;
    if (shape === undefined) continue;
    const [rows = 0, columns = 0] = shape;
    const inputs = dense.at(-1)?.outFeatures ?? hiddenSize;
    if (shape.length !== 2 || columns !== inputs) {
      const message = `The tensor ${name} has the shape [${shape.join(', ')}]; it must be [components, ${inputs}]. The file is damaged.`;
      throw new KvasirError('MODEL_FORMAT', message);
    }
    const weight = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row += ROWS_AT_ONCE) {
      const count = Math.min(ROWS_AT_ONCE, rows - row);
      weight.set(await container.readRows(name, row, count).catch(rethrow), row * columns);
    }
    dense.push(plainDense(rows, weight));
  }
  return { ...poolingOf(container.metadata), dense };
}
