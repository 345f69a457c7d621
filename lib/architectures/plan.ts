/**
 * What a family's file produces: the spec of the model, and for each canonical tensor the place where a checkpoint keeps it.
 * Binding a plan to a real file is the business of `lib/formats`; shapes are checked natively.
 */
import type { TensorSource } from '../native.js';
import type { ModelSpec } from '../spec.js';

/** How a checkpoint stores a tensor otherwise than canonically; see `TensorSource`. */
export type View = Omit<TensorSource, 'name' | 'fp4' | 'scales'>;

/** A name that a checkpoint may use, and how it stores the tensor under that name. */
export interface Place {
  name: string;
  view?: View;
}

export interface StoredTensor {
  /** The usual one first; the first that a checkpoint has counts. */
  places: readonly Place[];
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
