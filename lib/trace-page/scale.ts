/** What a model is made of, by layer and kind of part: parameters, bytes and multiply-adds; and models of other sizes. */
import type { ModelTensor } from '../native.js';
import { attentionOf, feedForwardOf, type ModelSpec } from '../spec.js';

export interface ScalePart {
  name: string;
  /** -1: outside of layers. */
  layer: number;
  kind: 'embedding' | 'norm' | 'attention' | 'projection' | 'feed-forward' | 'state' | 'output';
  /** Which of the page's parts is about it. */
  part: number;
  parameters: number;
  /** As they lie in memory, with their scales. */
  bytes: number;
  /** Multiply-adds of one token. */
  operations: number;
}

export interface ScaleGiven {
  spec: ModelSpec;
  tensors: readonly ModelTensor[];
  linears: Readonly<Record<string, 'int8' | 'fp32'>>;
  /** Bytes of all scales. */
  scaleBytes: number;
  /** Tokens that attention looks at. */
  tokens: number;
}

const partOf: Readonly<Record<ScalePart['kind'], number>> = {
  embedding: 2,
  norm: 5,
  attention: 7,
  projection: 12,
  'feed-forward': 13,
  state: 6,
  output: 17,
};

function kindOf({ name, role }: ModelTensor): ScalePart['kind'] {
  const last = name.replace(/^layers\.\d+\./, '');
  if (last.startsWith('embed.')) return 'embedding';
  if (last.startsWith('lm_head') || last.startsWith('final_norm')) return 'output';
  if (/^(conv|delta)/.test(last)) return 'state';
  if (last === 'o') return 'projection';
  if (/^(qkv|attn_gate|sinks|score_bias)/.test(last)) return 'attention';
  return role === 'vector' && /norm/.test(last) ? 'norm' : 'feed-forward';
}

/** In the order of the graph; parts of one kind in a layer are one. */
export function scaleOf({ spec, tensors, linears, scaleBytes, tokens }: ScaleGiven): ScalePart[] {
  const parts = new Map<string, ScalePart>();
  const layers = spec.stack.layers.length;
  const there = tensors.filter(({ name, role, optional }) =>
    role === 'vector' ? !optional : name in linears,
  );
  const rounded = there.reduce(
    (sum, { name, rows, columns }) => sum + (linears[name] === 'int8' ? rows * columns : 0),
    0,
  );
  const partAt = (layer: number, kind: ScalePart['kind']): ScalePart => {
    const inLayer = layer >= 0 && layer < layers;
    const name = inLayer ? `layer ${layer}: ${kind}` : kind;
    const found = parts.get(name);
    if (found) return found;
    const part = {
      name,
      layer: inLayer ? layer : -1,
      kind,
      part: partOf[kind],
      parameters: 0,
      bytes: 0,
      operations: 0,
    };
    parts.set(name, part);
    return part;
  };
  for (const tensor of there) {
    const { name, layer, role, rows, columns, expert } = tensor;
    const part = partAt(layer, kindOf(tensor));
    const parameters = rows * columns;
    part.parameters += parameters;
    part.bytes += linears[name] === 'int8' ? parameters * (1 + scaleBytes / rounded) : 4 * parameters;
    if (role !== 'linear') continue;
    const { experts } = expert < 0 ? {} : feedForwardOf(spec, layer);
    part.operations += parameters * (experts ? experts.used / experts.count : 1);
  }
  for (let layer = 0; layer < layers; layer++) {
    const attention = attentionOf(spec, layer);
    if (attention === undefined) continue;
    const seen = Math.min(tokens, attention.window ?? tokens);
    partAt(layer, 'attention').operations += 2 * attention.heads * attention.headDim * seen;
  }
  // A tied head multiplies by the token table.
  if (spec.head !== 'none' && !('lm_head' in linears))
    partAt(-1, 'output').operations += spec.vocabSize * spec.hiddenSize;
  return [...parts.values()];
}

export interface ModelSize {
  name: string;
  layers: number;
  heads: number;
  hidden: number;
  vocabulary: number;
  context: number;
  parameters: number;
  /** The model of the page. */
  self?: boolean;
}

/** GPTs from their configurations alone: [name, layers, heads, width, vocabulary, context]. */
const gpts: readonly (readonly [string, number, number, number, number, number])[] = [
  ['nano-GPT', 3, 3, 48, 3, 11],
  ['GPT-2', 12, 12, 768, 50257, 1024],
  ['GPT-2 medium', 24, 16, 1024, 50257, 1024],
  ['GPT-2 large', 36, 20, 1280, 50257, 1024],
  ['GPT-2 XL', 48, 25, 1600, 50257, 1024],
  ['GPT-3', 96, 96, 12288, 50257, 2048],
];

/** The two tables; of each layer 12 width^2 in matrices and 13 width in biases and norms; and the last norm. */
export function gptSizes(): ModelSize[] {
  return gpts.map(([name, layers, heads, hidden, vocabulary, context]) => {
    const tables = (vocabulary + context) * hidden;
    const parameters = tables + layers * (12 * hidden ** 2 + 13 * hidden) + 2 * hidden;
    return { name, layers, heads, hidden, vocabulary, context, parameters };
  });
}
