/**
 * The table of models: each checkpoint under test/fixtures/ and models/ that a reference was asked about, with its golden.
 * A new family adds its tiny checkpoints here, and models.test.ts runs them in every dtype on every device.
 */
import { fixtures, type GoldenError, type GoldenTensor, readGolden, valuesOf } from './golden.js';

export interface Prompt {
  ids: readonly number[];
  /** What greedy decoding appends in FP32, as the reference does. */
  greedyIds?: readonly number[];
}

export interface ModelRow {
  name: string;
  /** What resolveModel takes. */
  path: string;
  prompts: readonly Prompt[];
  /** Of the last `nLast` tokens of each prompt: the reference's logits in float64, and the error of its own float32. */
  logits?: { values: Float32Array | Float64Array; nLast: number; float32Error: GoldenError };
  /** Another row with the same values in another container: the same bits in every dtype. */
  sameBitsAs?: string;
}

interface Checkpoint {
  prompts: { ids: number[]; logits: GoldenTensor; greedyIds: number[] }[];
  float32Error: { logits: GoldenError };
}

interface Variants {
  prompts: number[][];
  variants: Record<string, { logits: GoldenTensor; float32Error: GoldenError }>;
}

interface Story {
  promptIds: number[];
  ids: number[];
}

function concatenated(parts: readonly (Float32Array | Float64Array)[]): Float64Array {
  return Float64Array.from(parts.flatMap((part) => [...part]));
}

/** A checkpoint whose golden has logits of every token and greedy continuations. */
function checkpoint(path: string, golden: string, sameBitsAs?: string): ModelRow {
  const { prompts, float32Error } = readGolden<Checkpoint>(golden);
  const values = concatenated(prompts.map(({ logits }) => valuesOf(logits)));
  return {
    name: path,
    path: fixtures + path,
    prompts,
    logits: { values, nLast: Number.POSITIVE_INFINITY, float32Error: float32Error.logits },
    sameBitsAs,
  };
}

/** Files that hold the values of another one. */
const copies: Record<string, string> = {
  'tiny-llama-variants/sharded': 'tiny-llama-variants/f32',
  'gpt-oss-mxfp4/mxfp4.gguf': 'gpt-oss-mxfp4/safetensors',
};

/** One model in several containers, stored dtypes and block types: the golden has the logits of each prompt's last 8 tokens. */
function variantRows(folder: string): ModelRow[] {
  const { prompts, variants } = readGolden<Variants>(`${folder}/golden.json`);
  return Object.entries(variants).map(([name, { logits, float32Error }]) => ({
    name: `${folder}/${name}`,
    path: `${fixtures}${folder}/${name}`,
    prompts: prompts.map((ids) => ({ ids })),
    logits: { values: valuesOf(logits), nLast: 8, float32Error },
    sameBitsAs: copies[`${folder}/${name}`],
  }));
}

const story = readGolden<Story>('stories-260k.json');
/** Of the letters A, B and C: the sorted six follow the given six. */
const sorting = [
  { ids: [2, 1, 0, 0, 2, 1], greedyIds: [0, 0, 1, 1, 2, 2] },
  { ids: [1, 1, 1, 0, 1, 0], greedyIds: [0, 0, 1, 1, 1, 1] },
];

export const models: readonly ModelRow[] = [
  checkpoint('tiny-llama', 'tiny-llama/golden.json'),
  checkpoint('tiny-gpt2', 'tiny-gpt2/golden.json'),
  checkpoint('tiny-gpt2/tiny-gpt2-f32.gguf', 'tiny-gpt2/golden.json', 'tiny-gpt2'),
  checkpoint('tiny-gpt2-f16', 'tiny-gpt2-f16/golden.json'),
  ...variantRows('tiny-llama-variants'),
  ...variantRows('tiny-llama-blocks'),
  ...variantRows('gpt-oss-mxfp4'),
  {
    name: 'stories-260k',
    path: 'stories-260k',
    prompts: [{ ids: story.promptIds, greedyIds: story.ids.slice(0, 40) }],
  },
  { name: 'nano-gpt-sort', path: 'nano-gpt-sort', prompts: sorting },
];
