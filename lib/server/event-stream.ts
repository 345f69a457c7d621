/**
 * Server-sent events as a response body. An event is made when the reader asks for it, so a slow client slows its run; one
 * that asks for nothing for long is left. While there is nothing to say, pings keep proxies from closing the connection.
 */
import { type Failure, Failure as FailureError, failureOf } from './failure.js';

export interface StreamEnds {
  /** Aborted with a Failure, whether or not anybody reads. */
  signal: AbortSignal;
  /** A whole event that says nothing. */
  ping: string;
  pingMs: number;
  /** So long a reader may take between two events. */
  stallMs: number;
  /** The event that tells of a failure in the middle. */
  failed(failure: Failure): string;
  /** The reader is gone: nothing more need be made. */
  onLeave(reason: Failure): void;
  /** Called once, when nothing more will be written. */
  onEnd(failure?: Failure): void;
}

type Outcome = { next: IteratorResult<string, undefined> } | { error: unknown } | 'nothing yet';

export class EventStream {
  readonly #events: AsyncGenerator<string, undefined>;
  readonly #ends: StreamEnds;
  readonly #encoder = new TextEncoder();
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #pending: Promise<Outcome> | undefined;
  #stall: NodeJS.Timeout | undefined;
  #pulling = false;
  #over = false;
  /** It ended while nobody read: what the next one to read is told. */
  #late: Failure | undefined;
  readonly #onAbort = () => this.#aborted(this.#ends.signal.reason as Failure);

  constructor(events: AsyncGenerator<string, undefined>, ends: StreamEnds) {
    this.#events = events;
    this.#ends = ends;
  }

  /**
   * Resolves when the first event is there, or the time of a ping has passed: what fails before is no stream yet. Rejects
   * with what the events reject with.
   */
  async begin(): Promise<void> {
    const outcome = await this.#outcome();
    if (outcome !== 'nothing yet' && 'error' in outcome) throw outcome.error;
    this.#ends.signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  get body(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: (controller) => this.#pull(controller),
        cancel: () => this.#leave(new FailureError('gone', 'The client left.')),
      },
      { highWaterMark: 0 },
    );
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    clearTimeout(this.#stall);
    if (this.#late !== undefined) {
      controller.enqueue(this.#encoder.encode(this.#ends.failed(this.#late)));
      controller.close();
      return;
    }
    this.#pulling = true;
    const outcome = await this.#outcome();
    this.#pulling = false;
    if (this.#over) return;
    if (outcome === 'nothing yet') {
      controller.enqueue(this.#encoder.encode(this.#ends.ping));
    } else if ('error' in outcome) {
      const failure = failureOf(outcome.error);
      controller.enqueue(this.#encoder.encode(this.#ends.failed(failure)));
      controller.close();
      this.#end(failure);
      return;
    } else if (outcome.next.done) {
      controller.close();
      this.#end();
      return;
    } else {
      this.#pending = undefined;
      controller.enqueue(this.#encoder.encode(outcome.next.value));
    }
    this.#stall = setTimeout(() => {
      this.#leave(new FailureError('gone', 'The client has read nothing for too long.'));
    }, this.#ends.stallMs).unref();
  }

  #aborted(reason: Failure): void {
    // Whoever reads is told by the generator, which ends with the same reason.
    if (this.#over || this.#pulling) return;
    this.#late = reason;
    this.#end(reason);
    if (reason.kind === 'gone') this.#close();
  }

  /** The reader is gone, or as good as: one that comes back is told why there is no more. */
  #leave(reason: Failure): void {
    if (this.#over) return;
    this.#late = reason;
    this.#end(reason);
    this.#ends.onLeave(reason);
  }

  #close(): void {
    try {
      this.#controller?.close();
    } catch {
      // It was cancelled: nobody is left to hear of it.
    }
  }

  #end(failure?: Failure): void {
    this.#over = true;
    clearTimeout(this.#stall);
    this.#ends.signal.removeEventListener('abort', this.#onAbort);
    // What is being made ends by the abort; the generator then cleans up.
    void this.#events.return(undefined).catch(() => {});
    this.#ends.onEnd(failure);
  }

  /** The next event, waited for as long as a ping. */
  #outcome(): Promise<Outcome> {
    this.#pending ??= this.#events.next().then(
      (next) => ({ next }),
      (error: unknown) => ({ error }),
    );
    const pending = this.#pending;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve('nothing yet'), this.#ends.pingMs);
      void pending.then((outcome) => {
        clearTimeout(timer);
        resolve(outcome);
      });
    });
  }
}
