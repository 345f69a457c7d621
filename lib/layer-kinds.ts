/** Which kinds of layers a model has, and how much of it a token uses, for reports. It reads the spec and no weights. */
import type { ModelDescription } from './formats/index.js';
import { attentionOf, feedForwardOf, layerCount, type ModelSpec, stateOf, type StateSpec } from './spec.js';

export interface LayerKindInfo {
  /** How many of the layers are of this kind. */
  layers: number;
  /** Positions that a query sees; undefined: all, or it has a state. */
  window?: number;
  /** What it has in the place of attention; undefined: nothing. */
  state?: StateSpec['kind'];
  /** Of the feed-forward, or of each expert. */
  ffnSize: number;
  /** Undefined: one feed-forward for all tokens. */
  experts?: {
    count: number;
    /** By each token. */
    used: number;
    /** Of an expert that every token uses beside them. */
    sharedSize?: number;
  };
}

/** Different ones, in the order in which they first appear. */
export function layerKindsOf(spec: ModelSpec): LayerKindInfo[] {
  const kinds = new Map<string, LayerKindInfo>();
  for (let layer = 0; layer < layerCount(spec); ++layer) {
    const kind = kindOf(spec, layer);
    const key = JSON.stringify(kind);
    const found = kinds.get(key);
    if (found) found.layers++;
    else kinds.set(key, kind);
  }
  return [...kinds.values()];
}

function kindOf(spec: ModelSpec, layer: number): LayerKindInfo {
  const window = attentionOf(spec, layer)?.window;
  const state = stateOf(spec, layer)?.kind;
  const { size, experts } = feedForwardOf(spec, layer);
  return {
    layers: 1,
    ...(window === undefined ? {} : { window }),
    ...(state === undefined ? {} : { state }),
    ffnSize: size,
    ...(experts ? { experts: expertsOf(experts) } : {}),
  };
}

function expertsOf({
  count,
  used,
  sharedSize,
}: NonNullable<LayerKindInfo['experts']>): NonNullable<LayerKindInfo['experts']> {
  return { count, used, ...(sharedSize === undefined ? {} : { sharedSize }) };
}

const stateTexts = { short_conv: 'a short convolution', delta_net: 'a gated delta net' } as const;

function mixerText({ window, state }: LayerKindInfo): string {
  if (state !== undefined) return stateTexts[state];
  return window === undefined ? 'all positions' : `a window of ${window} positions`;
}

/** 'a window of 128 positions, 4 of 32 experts of 2880' */
export function layerKindText(kind: LayerKindInfo): string {
  const { ffnSize, experts } = kind;
  const mixer = mixerText(kind);
  if (!experts) return `${mixer}, feed-forward ${ffnSize}`;
  const { count, used, sharedSize } = experts;
  const shared = sharedSize === undefined ? '' : ` beside a shared one of ${sharedSize}`;
  return `${mixer}, ${used} of ${count} experts of ${ffnSize}${shared}`;
}

/** Of a model's parameters, those that one token uses: all but the experts that it is not routed to. */
export function activeParametersOf({
  spec,
  tensors,
  parameters,
}: Pick<ModelDescription, 'spec' | 'tensors' | 'parameters'>): number {
  let idle = 0;
  for (let layer = 0; layer < layerCount(spec); ++layer) {
    const { size, gated, experts } = feedForwardOf(spec, layer);
    if (!experts) continue;
    const up = gated ? 2 * size : size;
    const biased = Object.hasOwn(tensors, `layers.${layer}.experts.0.up.bias`);
    const one = (up + size) * spec.hiddenSize + (biased ? up + spec.hiddenSize : 0);
    idle += (experts.count - experts.used) * one;
  }
  return parameters - idle;
}
