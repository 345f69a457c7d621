/**
 * Direct logit attribution: how much of one logit each part of the model wrote into the residual stream. Behind the last layer
 * the final norm scales the stream x, and the head takes a row w of its weights: logit = sum(w_i s_i x_i), with s as the norm
 * scaled this token. x is the embedding and what attentions and feed-forwards added to it, so that the logit falls into their
 * sums, and that of an attention into those of its heads, whose outputs o joins.
 */
import { KvasirError } from '../errors.js';
import { attentionOf, type ModelSpec } from '../spec.js';

export interface Contribution {
  /** Undefined: the embedding. */
  layer?: number;
  /**
   * 'head': of an attention, whose contribution holds it already. 'rest': what the sum lacks to the logit before its soft cap:
   * a bias of the head, and what INT8 rounds.
   */
  part: 'embed' | 'attention' | 'head' | 'feed_forward' | 'rest';
  head?: number;
  /** Its share of the logit. */
  logit: number;
}

/** Values [hidden] of one token. */
export interface TokenStream {
  embed: Float32Array;
  /** Behind each layer's attention, and behind the layer. */
  layers: readonly { attention: Float32Array; feedForward: Float32Array; heads?: Float32Array }[];
  finalNorm: Float32Array;
  /** As it came out of the model. */
  logit: number;
}

/** Throws INVALID_OPTION for a model without a head, or whose final norm takes the mean away. */
export function checkAttributable(spec: ModelSpec): void {
  if (spec.norm === 'rms' && spec.head !== 'none' && spec.finalNorm !== false) return;
  throw new KvasirError(
    'INVALID_OPTION',
    'Attribution needs a model with a head behind a final RMS norm: a layer norm takes the mean of the whole stream away.',
    { details: { option: 'attribute' } },
  );
}

/** Whether o alone lies between a layer's heads and the stream. */
export function headsAddUp({ stack, attentions }: ModelSpec): boolean {
  const adds = stack.residual === 'pre' || stack.residual === 'parallel';
  return adds && attentions.every(({ outputGate }) => !outputGate);
}

function dot(a: Float32Array | Float64Array, b: Float32Array | Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; ++i) sum += a[i]! * b[i]!;
  return sum;
}

/** What the stream is multiplied with for the logit, [hidden]: w times the norm's scale at this token. */
function directionOf(
  row: Float32Array,
  x: Float32Array,
  finalNorm: Float32Array,
  scale: number,
): Float64Array {
  // Where the stream is 0 nothing comes from it.
  return Float64Array.from(row, (w, i) => (x[i] === 0 ? 0 : (scale * w * finalNorm[i]!) / x[i]!));
}

/**
 * @param row [hidden] of the head's weights, of the token whose logit it is
 * @param outputOf weights of a layer's o, [hidden, heads * head dim]; called where heads are given
 */
export async function attribute(
  spec: ModelSpec,
  { embed, layers, finalNorm, logit }: TokenStream,
  row: Float32Array,
  outputOf: (layer: number) => Promise<Float32Array>,
): Promise<Contribution[]> {
  const last = layers.at(-1)?.feedForward ?? embed;
  const direction = directionOf(row, last, finalNorm, spec.logitsScale ?? 1);
  const contributions: Contribution[] = [{ part: 'embed', logit: dot(direction, embed) }];
  let before = embed;
  for (const [layer, { attention, feedForward, heads }] of layers.entries()) {
    const added = attention.map((value, i) => value - before[i]!);
    contributions.push({ layer, part: 'attention', logit: dot(direction, added) });
    if (heads) contributions.push(...headsOf(spec, layer, heads, direction, await outputOf(layer)));
    const fed = feedForward.map((value, i) => value - attention[i]!);
    contributions.push({ layer, part: 'feed_forward', logit: dot(direction, fed) });
    before = feedForward;
  }
  const cap = spec.logitsSoftCap;
  const whole = cap === undefined ? logit : cap * Math.atanh(logit / cap);
  const sum = contributions.reduce(
    (total, { part, logit: one }) => (part === 'head' ? total : total + one),
    0,
  );
  return [...contributions, { part: 'rest', logit: whole - sum }];
}

/** @param heads [heads * head dim] their outputs */
function headsOf(
  spec: ModelSpec,
  layer: number,
  heads: Float32Array,
  direction: Float64Array,
  output: Float32Array,
): Contribution[] {
  const width = heads.length;
  const pulled = new Float64Array(width);
  for (const [i, u] of direction.entries()) {
    for (let j = 0; j < width; ++j) pulled[j]! += u * output[i * width + j]!;
  }
  const { heads: count, headDim } = attentionOf(spec, layer)!;
  return Array.from({ length: count }, (_, head) => {
    const [from, to] = [head * headDim, (head + 1) * headDim];
    const logit = (spec.residualScale ?? 1) * dot(heads.subarray(from, to), pulled.subarray(from, to));
    return { layer, part: 'head', head, logit };
  });
}
