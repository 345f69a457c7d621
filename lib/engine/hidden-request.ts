/** A request that hands the hidden states of its tokens to one taker as they come. Generates nothing, keeps nothing. */
import { type StepResult, WANTS_HIDDEN } from '../native.js';
import { AnswerRequest, answerOf } from './answer-request.js';
import type { Engine } from './engine.js';
import type { Branch, WantedRow } from './request.js';

export interface HiddenTask {
  /** One sequence, at most the context. */
  tokens: Int32Array;
  /** [tokens] of a model that has types. Default: all are of the first. */
  types?: Int32Array;
  /** Positions [from, to) whose hidden states are wanted. */
  from: number;
  to: number;
  /** Called for each of them in order; the row [hidden] f32, after the final norm, is the step's: read it at once. */
  take(row: Float32Array, position: number): void;
  adapter?: number;
  signal?: AbortSignal;
}

class HiddenStatesRequest extends AnswerRequest<void> {
  readonly #task: HiddenTask;
  override readonly types: Int32Array | undefined;
  #next: number;

  constructor(task: HiddenTask) {
    super(task.tokens, task.tokens.length, task);
    this.#task = task;
    this.types = task.types;
    this.#next = task.from;
  }

  wantedRows(count: number, { computed }: Branch): WantedRow[] {
    const first = Math.max(computed, this.#task.from);
    const rows = Math.max(0, Math.min(computed + count, this.#task.to) - first);
    return Array.from({ length: rows }, (_, i) => ({
      position: first + i,
      wants: WANTS_HIDDEN,
      temperature: 1,
      fullLogits: false,
      target: -1,
    }));
  }

  take(result: StepResult, first: number, count: number): void {
    for (let row = first; row < first + count; row++) {
      this.#task.take(result.hidden?.[row] as Float32Array, this.#next++);
    }
    if (this.#next === this.#task.to) this.answer();
  }
}

/** Throws CONTEXT_OVERFLOW, BUSY, DISPOSED or the signal's reason. */
export async function takeHidden(engine: Engine, task: HiddenTask): Promise<void> {
  await answerOf(engine, new HiddenStatesRequest(task));
}
