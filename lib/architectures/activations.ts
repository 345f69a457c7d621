/** What the reference calls an activation, and which of ours it is. */
import type { FeedForwardSpec } from '../spec.js';
import { unsupported } from '../config-schema.js';

const activations: ReadonlyMap<string, FeedForwardSpec['activation']> = new Map([
  ['silu', 'silu'],
  ['swish', 'silu'],
  ['gelu', 'gelu_erf'],
  ['gelu_new', 'gelu_tanh'],
  ['gelu_pytorch_tanh', 'gelu_tanh'],
  ['gelu_fast', 'gelu_tanh'],
  ['quick_gelu', 'quick_gelu'],
  ['relu', 'relu'],
  ['relu2', 'relu2'],
]);

/** Throws UNSUPPORTED_ARCHITECTURE for one that is not there. */
export function activationOf(family: string, name: string): FeedForwardSpec['activation'] {
  const found = activations.get(name);
  if (found !== undefined) return found;
  throw unsupported(family, `the activation "${name}"`);
}
