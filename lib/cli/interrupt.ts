/**
 * Ctrl-C and its kin: the first one asks the command to stop, by its signal; the second one ends the process at once.
 * A reader of stdout that went away stops the command in the same way, but is no failure.
 */

import { tell } from './output.js';

/** What a shell reports for a process that SIGINT or SIGTERM ended. */
const statusOf = { SIGINT: 130, SIGTERM: 143 } as const;

/** Reason of an aborted command; never shown. */
export class Interrupted extends Error {}

export class Interrupts {
  readonly #controller = new AbortController();
  #handler: (() => void) | undefined;
  #status: number | undefined;
  #outputGone = false;

  /** Aborted when the command is to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Exit status that the interruption calls for; absent when there was none. */
  get status(): number | undefined {
    return this.#status;
  }

  /** Nobody reads stdout any more, or it takes no more: there is nothing left to say. */
  get outputGone(): boolean {
    return this.#outputGone;
  }

  listen(): void {
    process.on('SIGINT', () => this.raise('SIGINT'));
    process.on('SIGTERM', () => this.raise('SIGTERM'));
    process.stdout.on('error', (error) => this.outputFailed(error));
    // Nobody reads what we say: there is nobody to tell.
    process.stderr.on('error', () => {});
  }

  /** A reader who went away has enough, which is no failure. Anything else is said once, and ends the command. */
  outputFailed({ code, message }: NodeJS.ErrnoException): void {
    if (this.#outputGone) return;
    this.#outputGone = true;
    if (code === 'EPIPE') {
      this.#stop(0);
      return;
    }
    tell(
      `error: stdout cannot be written: ${message}. Make room, or send the output elsewhere. [INVALID_OPTION]`,
    );
    this.#stop(1);
    // When nothing more is done, too.
    process.exitCode = 1;
  }

  raise(signal: keyof typeof statusOf): void {
    if (signal === 'SIGINT' && this.#handler) {
      const handler = this.#handler;
      this.#handler = () => process.exit(statusOf.SIGINT);
      handler();
      return;
    }
    if (this.#controller.signal.aborted) process.exit(statusOf[signal]);
    this.#stop(statusOf[signal]);
  }

  /** Until `done`, the first Ctrl-C calls `handler` and the command goes on; a second one still ends the process. */
  handle(handler: () => void): { done: () => void } {
    this.#handler = handler;
    return {
      done: () => {
        this.#handler = undefined;
      },
    };
  }

  #stop(status: number): void {
    this.#status ??= status;
    this.#controller.abort(new Interrupted('interrupted'));
  }
}
