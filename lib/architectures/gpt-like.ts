/** What followers of GPT-2 have in the place of Llama's: layer norms, and a feed-forward without a gate. */
import { biasesOf, type DecoderShape } from './decoder.js';
import type { Names } from './family.js';

/** What GPT-NeoX and Falcon call it. */
export const denseNames: Names = {
  up: ['mlp.dense_h_to_4h', 'ffn_up'],
  down: ['mlp.dense_4h_to_h', 'ffn_down'],
};

export interface GptForm {
  /** Default: what the configuration says. */
  normEps?: number;
  activation?: DecoderShape['feedForward']['activation'];
  stack?: DecoderShape['stack'];
}

export function asGptLike<Shape extends DecoderShape>(shape: Shape, form: GptForm): Shape {
  const {
    normEps = shape.spec.normEps,
    activation = shape.feedForward.activation,
    stack = shape.stack,
  } = form;
  return {
    ...shape,
    feedForward: { ...shape.feedForward, activation, gated: false },
    spec: { ...shape.spec, norm: 'layer', normEps },
    stack,
  };
}

/** All linears of a layer have one, or none has. */
export function gptBias(has: boolean) {
  return biasesOf(...(has ? ['q', 'k', 'v', 'o', 'up', 'down'] : []));
}
