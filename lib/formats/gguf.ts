/** Describes a GGUF file from its metadata and its tensor table. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { planFromGguf } from '../architectures/index.js';
import { KvasirError } from '../errors.js';
import type { GgufFiles } from '../hub/model-files.js';
import type { Container, MetadataValue } from '../native.js';
import { bindTensors } from './bind-tensors.js';
import type { GenerationDefaults, ModelDescription } from './description.js';
import { tokenizerSourceOf } from './tokenizer-source.js';

function id(metadata: Readonly<Record<string, MetadataValue>>, name: string): number | undefined {
  const value = metadata[`tokenizer.ggml.${name}_token_id`];
  // Writers use 4294967295 for "none".
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 0xffffffff
    ? value
    : undefined;
}

function generationDefaults(metadata: Readonly<Record<string, MetadataValue>>): GenerationDefaults {
  const ends = ['eos', 'eot', 'eom'].map((name) => id(metadata, name)).filter((end) => end !== undefined);
  const bos = id(metadata, 'bos');
  const pad = id(metadata, 'padding');
  return {
    eosTokenIds: [...new Set(ends)],
    ...(bos !== undefined ? { bosTokenId: bos } : {}),
    ...(pad !== undefined ? { padTokenId: pad } : {}),
  };
}

/** Length of the token list, wherever the border put it. */
function tokenCount(metadata: Readonly<Record<string, MetadataValue>>): number {
  const tokens = metadata['tokenizer.ggml.tokens'];
  if (typeof tokens === 'object' && 'length' in tokens && tokens.length > 0) return tokens.length;
  throw new KvasirError('MODEL_FORMAT', 'The GGUF file has no vocabulary (tokenizer.ggml.tokens).');
}

/** Throws MODEL_FORMAT or UNSUPPORTED_ARCHITECTURE, naming what is wrong. */
export async function describeGguf(files: GgufFiles, container: Container): Promise<ModelDescription> {
  const { metadata, tensors } = container;
  const table = tensors.find((tensor) => tensor.name === 'token_embd.weight');
  // Without the table any row count does: the plan fails on the architecture or on the missing tensor.
  const rows = table?.shape[0] ?? 1;
  const read = (name: string) =>
    tensors.some((tensor) => tensor.name === name) ? container.readTensor(name) : undefined;
  const plan = planFromGguf(metadata, rows, read);
  await nextTurn();
  const bound = await bindTensors(plan, container);
  const tokens = tokenCount(metadata);
  if (tokens > rows) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `The vocabulary has ${tokens} tokens but the embedding only ${rows} rows: the file is damaged or was put together from two models.`,
      { details: { tokens, rows } },
    );
  }
  return {
    architecture: plan.architecture,
    spec: plan.spec,
    ...bound,
    tokenizerSource: { ...tokenizerSourceOf(files), embeddingRows: rows },
    generationDefaults: generationDefaults(metadata),
  };
}
