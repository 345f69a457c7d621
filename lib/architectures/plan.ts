/**
 * What an architecture file produces: the parameters of the transformer, and for each canonical tensor the name and the
 * shape that the checkpoint must have for it. Binding the plan to a real file is the business of `lib/formats`.
 */
import type { ModelSpec } from '../native.js';

export interface TensorSlot {
  /** Canonical name, as `lib/native.ts` lists them. */
  canonical: string;
  /** Names that a checkpoint may use for it, the usual one first. */
  names: readonly string[];
  /** Shape after transposing and slicing: [rows, columns] or [size]. */
  shape: readonly number[];
  /** Stored as [columns, rows]. */
  transposed?: boolean;
  /** First row of this tensor inside a fused one. */
  rowOffset?: number;
  /** Rows of the fused tensor that is stored; default: the rows of `shape`. */
  storedRows?: number;
  /** A checkpoint may leave it out. */
  optional?: boolean;
}

export interface ArchitecturePlan {
  /** Family name: 'llama', 'gpt2'. */
  architecture: string;
  spec: ModelSpec;
  /** Every tensor that the graph may need, each made when it is asked for: a model has hundreds. */
  slots: () => Iterable<TensorSlot>;
  /** Tensors of a checkpoint that carry nothing the graph needs (masks, precomputed tables). */
  ignored: readonly RegExp[];
}

export interface LinearOptions {
  /** `required`: the bias must be there; `optional`: it is used when it is there. */
  bias?: 'required' | 'optional';
  transposed?: boolean;
  rowOffset?: number;
  storedRows?: number;
}

/** Slots of one linear: `names` are the stored names without `.weight` and `.bias`. */
export function linearSlots(
  canonical: string,
  names: readonly string[],
  shape: readonly [rows: number, columns: number],
  options: LinearOptions = {},
): TensorSlot[] {
  const { bias, transposed, rowOffset, storedRows } = options;
  const part = { rowOffset, storedRows };
  const slots: TensorSlot[] = [
    {
      canonical: `${canonical}.weight`,
      names: names.map((name) => `${name}.weight`),
      shape,
      transposed,
      ...part,
    },
  ];
  if (bias !== undefined) {
    slots.push({
      canonical: `${canonical}.bias`,
      names: names.map((name) => `${name}.bias`),
      shape: [shape[0]],
      optional: bias === 'optional',
      ...part,
    });
  }
  return slots;
}

/** Slots of one norm; a layer norm has a bias. */
export function normSlots(
  canonical: string,
  names: readonly string[],
  size: number,
  kind: 'rms' | 'layer',
): TensorSlot[] {
  const parts = kind === 'layer' ? ['weight', 'bias'] : ['weight'];
  return parts.map((part) => ({
    canonical: `${canonical}.${part}`,
    names: names.map((name) => `${name}.${part}`),
    shape: [size],
  }));
}
