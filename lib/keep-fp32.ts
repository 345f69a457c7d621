/** The names behind `keepFp32`: which linears a model has, and which of them a caller means. */
import type { ModelDescription } from './formats/index.js';
import { native } from './native.js';
import { invalidOption, type LoadOptions } from './options.js';
import { specToJson } from './spec.js';

const wholes: Readonly<Record<string, string>> = {
  q: 'qkv',
  k: 'qkv',
  v: 'qkv',
  gate: 'gate_up',
  up: 'gate_up',
};

/** Every linear of a model that INT8 would round, as native names them. */
export function linearNames({ spec, tensors }: Pick<ModelDescription, 'spec' | 'tensors'>): string[] {
  return native()
    .tensorsOf(specToJson(spec))
    .filter(({ role, optional, float32, name }) => {
      const isThere = !optional || `${name}.weight` in tensors || `${name}.blocks` in tensors;
      return role !== 'vector' && !float32 && isThere;
    })
    .map(({ name }) => name);
}

/** The name that stands for the same linear of all experts of a layer: 'layers.3.experts.down'. */
export function withoutExpert(linear: string): string {
  return linear.replace(/\.experts\.\d+\./, '.experts.');
}

/** The linears that a name stands for: one, those of a layer, of its experts, of one expert, or one of each expert. */
export function linearsWithin(name: string, linears: readonly string[]): string[] {
  if (linears.includes(name)) return [name];
  if (!name.startsWith('layers.')) return [];
  return linears.filter((one) => one.startsWith(`${name}.`) || withoutExpert(one) === name);
}

/** What `keepFp32` names, linear by linear. Throws INVALID_OPTION for a name that is none, or where nothing is INT8. */
export function keptLinears(
  { keepFp32 = [], dtype }: LoadOptions,
  description: Pick<ModelDescription, 'spec' | 'tensors' | 'int8Origin'>,
): string[] {
  if (keepFp32.length === 0) return [];
  if (dtype === 'fp32')
    throw invalidOption('keepFp32', keepFp32, "absent with dtype 'fp32', where all is float32");
  const { int8Origin } = description;
  if (int8Origin !== undefined) {
    const allowed = `absent: this is the INT8 form of ${int8Origin.source}, which has no other weights`;
    throw invalidOption('keepFp32', keepFp32, allowed);
  }
  const known = linearNames(description);
  return [...new Set(keepFp32.flatMap((name) => resolve(name, known)))];
}

function resolve(name: string, known: readonly string[]): string[] {
  const named = linearsWithin(name, known);
  if (named.length > 0) return named;
  const [, layer, part] = /^(layers\.\d+\.(?:.+\.)?)(\w+)$/.exec(name) ?? [];
  const whole = part && wholes[part];
  if (whole && known.includes(layer + whole)) {
    throw invalidOption('keepFp32', name, `'${layer}${whole}': its parts are one linear`);
  }
  if (name === 'lm_head')
    throw invalidOption('keepFp32', name, "'embed.tokens': this model's output layer is tied to it");
  if (name.endsWith('.router') || name.endsWith('.shared_gate'))
    throw invalidOption(
      'keepFp32',
      name,
      'absent: routers and gates of shared experts are float32 in any model',
    );
  const last = known.filter((one) => one.startsWith('layers.')).at(-1);
  throw invalidOption('keepFp32', name, `one of embed.tokens, layers.0 to ${last}, such as layers.0.down`);
}
