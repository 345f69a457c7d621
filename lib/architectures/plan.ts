/**
 * What a family's file produces: the spec of the model, and for each canonical tensor the place where a checkpoint keeps it.
 * Binding a plan to a real file is the business of `lib/formats`; shapes are checked natively.
 */
import type { TensorSource } from '../native.js';
import type { ModelSpec } from '../spec.js';

/** How a checkpoint stores a tensor otherwise than canonically; see `TensorSource`. */
export type View = Omit<TensorSource, 'name'>;

export interface StoredTensor {
  /** Names that a checkpoint may use for it, the usual one first. */
  names: readonly string[];
  view?: View;
  /** 'required': it must be there; 'optional': it is used when it is there. */
  presence: 'required' | 'optional';
}

export interface ArchitecturePlan {
  /** Family name: 'llama', 'gpt2'. */
  architecture: string;
  spec: ModelSpec;
  /** Where a canonical tensor lies (native/model/tensors.h lists them); undefined: this checkpoint has no such tensor. */
  source: (canonical: string) => StoredTensor | undefined;
  /** The configuration says that the head is the token table: a head of its own is a copy, or it counts. */
  tied: boolean;
  /** Tensors of a checkpoint that carry nothing the graph needs (masks, precomputed tables). */
  ignored: readonly RegExp[];
}
