/**
 * Server-sent events on their way out. One is made when whoever writes them asks for it, so a slow client slows its run; one
 * that asks for nothing for long is left. While there is nothing to say, pings keep proxies from closing the connection.
 * An event costs no promise and no timer: what a step of the engine brings is written for all streams together, and a stream
 * looks at the time when its shorter limit has passed.
 */
import type { EventSource } from './event-source.js';
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

/** Where events go. */
export interface EventSink {
  /** Takes whole events. True: more of them at once, too; otherwise it says so by `want`. */
  write(text: string): boolean;
  /** No more come. */
  end(): void;
}

/** Streams with news. */
const ready: EventStream[] = [];

/** When whatever brings the news has brought all of it: the last token and the end of an answer go out as one. */
function serveAll(): void {
  for (const stream of ready.splice(0)) stream.serve();
}

export class EventStream {
  readonly #source: EventSource;
  readonly #ends: StreamEnds;
  #sink: EventSink | undefined;
  /** The first events, until somebody wants them. */
  #held = '';
  #wanted = false;
  /** It is among those that are `ready`. */
  #isReady = false;
  /** When it was last wanted, or written. */
  #since = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #over = false;
  /** It ended while nobody read: what the next one to read is told. */
  #late: Failure | undefined;
  readonly #onAbort = () => this.#aborted(this.#ends.signal.reason as Failure);

  constructor(source: EventSource, ends: StreamEnds) {
    this.#source = source;
    this.#ends = ends;
  }

  /**
   * Resolves when the first event is there, or the time of a ping has passed: what fails before is no stream yet. Rejects
   * with what the events reject with.
   */
  begin(): Promise<void> {
    const source = this.#source;
    return new Promise((resolve, reject) => {
      const begun = () => {
        clearTimeout(timer);
        source.onNews = () => this.#enlist();
        this.#ends.signal.addEventListener('abort', this.#onAbort, { once: true });
        this.#since = performance.now();
        this.#watch();
        resolve();
      };
      const timer = setTimeout(begun, this.#ends.pingMs);
      source.onNews = () => {
        try {
          const text = source.read();
          if (text === '') return;
          this.#held = text ?? '';
          begun();
        } catch (error) {
          clearTimeout(timer);
          source.onNews = () => {};
          source.leave();
          reject(error);
        }
      };
      source.onNews();
    });
  }

  /** For whoever reads a web stream. Either this or `pipe`. */
  get body(): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    const sinkOf = (controller: ReadableStreamDefaultController<Uint8Array>): EventSink => ({
      write: (text) => {
        controller.enqueue(encoder.encode(text));
        return false;
      },
      end: () => controller.close(),
    });
    let sink: EventSink;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          sink = sinkOf(controller);
          this.#sink = sink;
        },
        pull: () => this.want(),
        cancel: () => {
          if (this.#sink === sink) this.leave();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Writes all there will be; `want` and `leave` are the sink's to call. */
  pipe(sink: EventSink): void {
    this.#sink = sink;
    this.want();
  }

  /** The reader takes more. */
  want(): void {
    const late = this.#late;
    this.#late = undefined;
    if (late !== undefined) this.#close(this.#ends.failed(late));
    if (this.#over) return;
    this.#wanted = true;
    this.#since = performance.now();
    this.serve();
  }

  /** The reader is gone. */
  leave(): void {
    // Every connection closes some time: what that says of a stream that is over costs no error.
    if (!this.#over) this.#leave(new FailureError('gone', 'The client left.'));
  }

  #enlist(): void {
    if (this.#isReady || !this.#wanted) return;
    this.#isReady = true;
    if (ready.push(this) === 1) void Promise.resolve().then(serveAll);
  }

  /** Writes what there is, as long as it is wanted. */
  serve(): void {
    this.#isReady = false;
    while (this.#wanted && !this.#over) {
      let text: string | undefined = this.#held;
      this.#held = '';
      try {
        if (text === '') text = this.#source.read();
      } catch (error) {
        this.#fail(failureOf(error));
        return;
      }
      if (text === '') return;
      if (text === undefined) this.#finish('');
      else this.#write(text);
    }
  }

  #write(text: string): void {
    this.#wanted = false;
    this.#since = performance.now();
    try {
      if (this.#sink?.write(text)) this.#wanted = true;
    } catch {
      // Nobody is left to take it.
      this.leave();
    }
  }

  /** Ends what is written. @param text the last of it */
  #close(text: string): void {
    try {
      if (text !== '') this.#sink?.write(text);
      this.#sink?.end();
    } catch {
      // As above.
    }
  }

  #fail(failure: Failure): void {
    this.#finish(this.#ends.failed(failure), failure);
  }

  /** @param text the last of it */
  #finish(text: string, failure?: Failure): void {
    this.#over = true;
    this.#close(text);
    this.#end(failure);
  }

  #aborted(reason: Failure): void {
    if (this.#over) return;
    if (reason.kind === 'gone') {
      this.#finish('', reason);
    } else if (this.#wanted) {
      this.#fail(reason);
    } else {
      this.#late = reason;
      this.#end(reason);
    }
  }

  /** The reader is gone, or as good as: one that comes back is told why there is no more. */
  #leave(reason: Failure): void {
    if (this.#over) return;
    this.#late = reason;
    this.#end(reason);
    this.#ends.onLeave(reason);
  }

  #end(failure?: Failure): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#ends.signal.removeEventListener('abort', this.#onAbort);
    this.#source.onNews = () => {};
    this.#source.leave();
    this.#ends.onEnd(failure);
  }

  #watch(ms = Math.min(this.#ends.pingMs, this.#ends.stallMs)): void {
    this.#timer = setTimeout(() => this.#look(), ms);
    this.#timer.unref();
  }

  /** Has the reader waited for a ping's time, or let events wait for too long? */
  #look(): void {
    const { pingMs, stallMs, ping } = this.#ends;
    const left = this.#since + (this.#wanted ? pingMs : stallMs) - performance.now();
    if (left <= 0 && !this.#wanted) {
      this.#leave(new FailureError('gone', 'The client has read nothing for too long.'));
      return;
    }
    if (left <= 0) this.#write(ping);
    if (!this.#over) this.#watch(Math.min(left > 0 ? left : pingMs, pingMs, stallMs));
  }
}

const streams = new WeakMap<Response, EventStream>();

/** A response that streams events: as a web stream, or by `streamOf`. */
export function streamResponse(stream: EventStream, headers: Record<string, string>): Response {
  const response = new Response(stream.body, { headers });
  streams.set(response, stream);
  return response;
}

/** Of a response that streams events and whose body nobody reads. */
export function streamOf(response: Response): EventStream | undefined {
  return streams.get(response);
}
