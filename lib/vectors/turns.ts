/** Work on one thing that takes turns, in the order in which it was asked for. What waits is bounded. */
import { KvasirError } from '../errors.js';

const MOST_WAITING = 4096;

export interface Turn {
  /** Does it. Settles whoever waits for it, and never rejects. Turns that may share one with this are given, and done too. */
  run(shared: readonly Turn[]): Promise<void>;
  /** Whether it may be done together with these, the first of which comes before it. */
  joins?(turns: readonly Turn[]): boolean;
}

export class Turns {
  readonly #waiting: Turn[] = [];
  #running = false;
  readonly #idle: (() => void)[] = [];

  /** Throws BUSY. */
  add(turn: Turn): void {
    if (this.#waiting.length >= MOST_WAITING) {
      throw new KvasirError('BUSY', `${MOST_WAITING} calls wait for this index; try again later.`);
    }
    this.#waiting.push(turn);
    if (!this.#running) void this.#run();
  }

  /** Takes back what has not begun. */
  remove(turn: Turn): void {
    const place = this.#waiting.indexOf(turn);
    if (place >= 0) this.#waiting.splice(place, 1);
  }

  /** When nothing runs or waits. */
  async idle(): Promise<void> {
    if (this.#running) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async #run(): Promise<void> {
    this.#running = true;
    // What is asked for in the same breath is done together.
    await undefined;
    for (let first = this.#waiting.shift(); first !== undefined; first = this.#waiting.shift()) {
      const together = [first];
      while (this.#waiting[0]?.joins?.(together)) together.push(this.#waiting.shift() as Turn);
      await first.run(together);
    }
    this.#running = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
