/**
 * A folder of model2vec: config.json, tokenizer.json and model.safetensors, which has a vector for each token (`embeddings`), and
 * in newer ones a weight of each (`weights`) and which row is whose (`mapping`). Refuses folders of other models by name.
 */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import { KvasirError } from '../errors.js';
import { type Container, native, rethrow } from '../native.js';
import { readRegularFile } from '../regular-file.js';
import { Tokenizer } from '../tokenizer/tokenizer.js';
import type { StaticTexts } from './static-texts.js';
import { tableOf } from './token-vectors.js';
import { MOST_WORDS, WordTable } from './word-table.js';

const configSchema = v.looseObject({
  model_type: v.optional(v.string(), 'none'),
  normalize: v.nullish(v.boolean()),
  /** null: all tokens of a text. */
  max_length: v.optional(v.nullable(count), 512),
});
const LONGEST_CONFIG = 2 ** 20;
const MOST_DIMENSIONS = 65_536;

function damaged(path: string, why: string): KvasirError {
  return new KvasirError('MODEL_FORMAT', `${path} is no whole folder of model2vec: ${why}.`);
}

async function readConfig(folder: string): Promise<v.InferOutput<typeof configSchema>> {
  const path = join(folder, 'config.json');
  if (!(await stat(path).catch(() => undefined))) throw damaged(folder, 'it has no config.json');
  const text = (await readRegularFile(path, LONGEST_CONFIG)).toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new KvasirError('MODEL_FORMAT', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  const config = parseConfig(configSchema, value, path);
  if (config.model_type === 'model2vec') return config;
  throw new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `${path} has model_type ${JSON.stringify(config.model_type.slice(0, 60))}, and static vectors are those of model2vec. Of a model that loads, take model.tokenVectors().`,
  );
}

/** @param limit of words is none of a folder: texts need every token. Throws MODEL_NOT_FOUND, MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE. */
export async function readStaticModel(given: string, signal: AbortSignal | undefined): Promise<StaticTexts> {
  const folder = resolve(given);
  const { normalize, max_length: longest } = await readConfig(folder);
  const weights = join(folder, 'model.safetensors');
  const container = await native().openContainer([weights]).catch(rethrow);
  let tokenizer: Tokenizer | undefined;
  try {
    const source = { kind: 'tokenizer-json', path: join(folder, 'tokenizer.json') } as const;
    tokenizer = await Tokenizer.load(source, { signal });
    const table = await new Rows(weights, container, tokenizer).read(signal);
    const lengths = Float64Array.from(table.words, (word) => [...word].length).sort();
    return {
      tokenizer,
      table,
      unknownId: tokenizer.unknownTokenId,
      maxTokens: longest ?? Number.MAX_SAFE_INTEGER,
      normalize: normalize ?? false,
      medianLength: Math.floor((lengths[(lengths.length - 1) >> 1]! + lengths[lengths.length >> 1]!) / 2),
    };
  } catch (error) {
    await tokenizer?.dispose();
    throw error;
  } finally {
    container.close();
  }
}

/** The vector of each token. */
class Rows {
  readonly #dimensions: number;
  readonly #count: number;

  constructor(
    readonly path: string,
    readonly container: Container,
    readonly tokenizer: Tokenizer,
  ) {
    const [count = 0, dimensions = 0, ...more] = this.#shapeOf('embeddings') ?? [];
    if (more.length > 0 || count < 1 || count > MOST_WORDS || dimensions < 1 || dimensions > MOST_DIMENSIONS)
      throw damaged(path, '"embeddings" must be [tokens, dimensions]');
    [this.#count, this.#dimensions] = [count, dimensions];
  }

  async read(signal: AbortSignal | undefined): Promise<WordTable> {
    const { vocabSize } = this.tokenizer;
    const mapping = await this.#vector('mapping', vocabSize);
    const weights = await this.#vector('weights', vocabSize);
    if (mapping === undefined && this.#count !== vocabSize)
      throw damaged(this.path, `it has ${this.#count} vectors for ${vocabSize} tokens`);
    const rows = await this.#rows(signal);
    const table = new WordTable(this.#dimensions);
    for (let id = 0; id < vocabSize; id++) {
      const row = mapping?.[id] ?? id;
      if (!(Number.isInteger(row) && row >= 0 && row < this.#count))
        throw damaged(this.path, `"mapping" gives token ${id} the row ${row} of ${this.#count}`);
      const vector = table.next();
      vector.set(rows.vector(row));
      if (weights) for (let i = 0; i < vector.length; i++) vector[i]! *= weights[id]!;
      table.append(this.tokenizer.tokenSpelling(id));
    }
    return table;
  }

  /** As the file has them. */
  #rows(signal: AbortSignal | undefined): Promise<WordTable> {
    const read = async (first: number, count: number) => {
      const values = await this.container.readRows('embeddings', first, count).catch(rethrow);
      if (!values.every(Number.isFinite))
        throw damaged(this.path, '"embeddings" has a number that is not finite');
      return values;
    };
    return tableOf({ size: this.#count, dimensions: this.#dimensions, spelling: () => '', read }, signal);
  }

  #shapeOf(name: string): readonly number[] | undefined {
    return this.container.tensors.find((tensor) => tensor.name === name)?.shape;
  }

  /** [count] of a tensor that a file may leave out. */
  async #vector(name: string, count: number): Promise<Float64Array | undefined> {
    const tensor = this.container.tensors.find((one) => one.name === name);
    if (tensor === undefined) return undefined;
    if (tensor.shape.length !== 1 || tensor.shape[0] !== count)
      throw damaged(this.path, `"${name}" is [${tensor.shape}], and there are ${count} tokens`);
    const bytes = await this.container.readBytes(name, 0, tensor.bytes).catch(rethrow);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const read = numbers.get(tensor.dtype);
    if (read === undefined) throw damaged(this.path, `"${name}" is stored as ${tensor.dtype}`);
    const values = Float64Array.from({ length: count }, (_, i) => read(view, i));
    if (!values.every(Number.isFinite)) throw damaged(this.path, `"${name}" has a number that is not finite`);
    return values;
  }
}

const numbers: ReadonlyMap<string, (view: DataView, i: number) => number> = new Map([
  ['F32', (view, i) => view.getFloat32(4 * i, true)],
  ['F64', (view, i) => view.getFloat64(8 * i, true)],
  ['I32', (view, i) => view.getInt32(4 * i, true)],
  ['I64', (view, i) => Number(view.getBigInt64(8 * i, true))],
]);

/** Whether a path is a folder; what is not there is for who opens it to say. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
