/** How far a comparison is, and how long it may still take. */
import type { LoadProgress } from '../options.js';
import type { ComparePhase, CompareProgress } from './options.js';

export class PhaseClock {
  readonly #report: ((progress: CompareProgress) => void) | undefined;
  /** Phases to come, in order; seconds where they are known. */
  readonly #left: Map<ComparePhase, number | undefined>;
  #phase: ComparePhase | undefined;
  #startedAt = 0;

  constructor(phases: readonly ComparePhase[], report?: (progress: CompareProgress) => void) {
    this.#left = new Map(phases.map((phase) => [phase, undefined]));
    this.#report = report;
  }

  loading(load: LoadProgress): void {
    this.#report?.({ phase: 'load', done: load.total > 0 ? load.loaded / load.total : 0, load });
  }

  /** What a phase that has not begun will take. */
  expect(phase: ComparePhase, seconds: number): void {
    if (this.#left.has(phase)) this.#left.set(phase, seconds);
  }

  /** @param done of 1. @param seconds left in this phase; by default, as the time so far tells. */
  at(phase: ComparePhase, done: number, seconds?: number): void {
    const now = performance.now();
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#startedAt = now;
      this.#left.delete(phase);
    }
    const here = seconds ?? (done > 0 ? (((now - this.#startedAt) / 1000) * (1 - done)) / done : undefined);
    let secondsLeft = here;
    for (const later of this.#left.values()) {
      secondsLeft = secondsLeft === undefined || later === undefined ? undefined : secondsLeft + later;
    }
    this.#report?.(
      secondsLeft === undefined ? { phase, done } : { phase, done, secondsLeft: Math.max(0, secondsLeft) },
    );
  }
}
