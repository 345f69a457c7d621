/**
 * The lengths of a prompt at which checkpoints are kept (pages.ts): multiples of `every`. Layers with a window can be forked
 * at any length that a step went past, for their pages are still there. A state is that of a step's end alone: with
 * states a prompt's parts end at such lengths, at the last few of a prompt, for each is a step of its own.
 */
import type { NativeModelInfo } from '../native.js';
import type { Branch, Request } from './request.js';

export class CheckpointLengths {
  readonly #every: number;
  /** Of a prompt, the last ones; all where they cost no step. */
  readonly #mostOfPrompt: number;
  readonly #areEnds: boolean;
  readonly #none: boolean;

  constructor({ checkpoints, stateSlots }: Pick<NativeModelInfo, 'checkpoints' | 'stateSlots'>) {
    this.#every = checkpoints.every;
    this.#none = checkpoints.most === 0;
    this.#areEnds = stateSlots > 0;
    this.#mostOfPrompt = this.#areEnds ? checkpoints.ofPrompt : Number.POSITIVE_INFINITY;
  }

  /** Those of a request's prompt beyond `from` positions, up to `to`. */
  within(request: Request, from: number, to: number): number[] {
    const lengths: number[] = [];
    const end = Math.min(to, request.shared);
    for (let at = this.#after(request, from); at <= end; at += this.#every) lengths.push(at);
    return lengths;
  }

  /** Tokens of a branch up to the length at which its step has to end; Infinity where none has. */
  untilEnd(request: Request, { computed }: Branch): number {
    if (!this.#areEnds) return Number.POSITIVE_INFINITY;
    const next = this.#after(request, computed);
    return next > request.shared ? Number.POSITIVE_INFINITY : next - computed;
  }

  /** The first one beyond `from`, or a length beyond the prompt. */
  #after({ cache, shared }: Request, from: number): number {
    if (this.#none || !cache.reuse) return Number.POSITIVE_INFINITY;
    const last = shared - (shared % this.#every);
    const first = last - (this.#mostOfPrompt - 1) * this.#every;
    return Math.max(first, from - (from % this.#every) + this.#every);
  }
}
