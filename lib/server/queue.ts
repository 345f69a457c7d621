/**
 * Who runs next. So many requests of one model run at a time; the others wait in a bounded queue, from which the key goes
 * first that has the fewest running, and of equal ones the one that was served longest ago.
 */
import { Failure } from './failure.js';
import type { Holder } from './keys.js';

export interface QueueLimits {
  /** Requests of one model that run at a time. */
  concurrent: number;
  /** Requests that wait, of all models and keys. */
  queue: number;
}

/** The right to run, until it is released. */
export interface Ticket {
  /** How long it waited. */
  readonly waitedMs: number;
  /** Idempotent. */
  release(): void;
}

interface Waiting {
  holder: Holder;
  lane: string;
  since: number;
  start(): void;
}

interface Account {
  running: number;
  waiting: number;
  /** Number of the last start: the lowest was served longest ago. */
  lastStart: number;
}

/** Weight of the latest request in the mean time of one. */
const NEWS = 0.1;
const LONGEST_RETRY_SECONDS = 60;

export class Queue {
  readonly #limits: QueueLimits;
  readonly #accounts = new Map<Holder, Account>();
  readonly #lanes = new Map<string, number>();
  #waiting: Waiting[] = [];
  #running = 0;
  #starts = 0;
  /** Mean time that a request runs. */
  #meanMs = 1000;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * Resolves when the request may run. Rejects with a Failure when there is no room to wait, or with the signal's reason.
   * @param lane the model.
   */
  enter(holder: Holder, lane: string, signal: AbortSignal): Promise<Ticket> {
    const since = performance.now();
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#mayRun(holder, lane)) return Promise.resolve(this.#start(holder, lane, since));
    const account = this.#account(holder);
    const share = Math.max(1, Math.floor(this.#limits.queue * holder.queueShare));
    if (this.#waiting.length >= this.#limits.queue || account.waiting >= share) {
      return Promise.reject(this.#full());
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#forget(entry);
        reject(signal.reason);
      };
      const entry: Waiting = {
        holder,
        lane,
        since,
        start: () => {
          signal.removeEventListener('abort', leave);
          this.#forget(entry);
          resolve(this.#start(holder, lane, since));
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      account.waiting++;
      this.#waiting.push(entry);
    });
  }

  #full(): Failure {
    const seconds = (this.#meanMs * (this.#waiting.length + 1)) / this.#limits.concurrent / 1000;
    return new Failure('busy', 'Too many requests wait already: try again later.', {
      code: 'server_busy',
      retryAfter: Math.min(LONGEST_RETRY_SECONDS, Math.max(1, Math.ceil(seconds))),
    });
  }

  #mayRun(holder: Holder, lane: string): boolean {
    if ((this.#lanes.get(lane) ?? 0) >= this.#limits.concurrent) return false;
    return (this.#accounts.get(holder)?.running ?? 0) < holder.concurrent;
  }

  #start(holder: Holder, lane: string, since: number): Ticket {
    const account = this.#account(holder);
    account.running++;
    account.lastStart = ++this.#starts;
    this.#running++;
    this.#lanes.set(lane, (this.#lanes.get(lane) ?? 0) + 1);
    const started = performance.now();
    let released = false;
    return {
      waitedMs: started - since,
      release: () => {
        if (released) return;
        released = true;
        account.running--;
        this.#running--;
        this.#lanes.set(lane, (this.#lanes.get(lane) ?? 1) - 1);
        this.#meanMs += NEWS * (performance.now() - started - this.#meanMs);
        this.#startNext();
      },
    };
  }

  #startNext(): void {
    for (;;) {
      const next = this.#next();
      if (next === undefined) return;
      next.start();
    }
  }

  #next(): Waiting | undefined {
    let best: Waiting | undefined;
    for (const entry of this.#waiting) {
      if (!this.#mayRun(entry.holder, entry.lane)) continue;
      if (best === undefined || this.#goesBefore(entry.holder, best.holder)) best = entry;
    }
    return best;
  }

  /** Requests of one key stay in their order. */
  #goesBefore(a: Holder, b: Holder): boolean {
    if (a === b) return false;
    if (a.priority !== b.priority) return a.priority > b.priority;
    const [one, other] = [this.#account(a), this.#account(b)];
    if (one.running !== other.running) return one.running < other.running;
    return one.lastStart < other.lastStart;
  }

  #forget(entry: Waiting): void {
    this.#account(entry.holder).waiting--;
    this.#waiting = this.#waiting.filter((other) => other !== entry);
  }

  #account(holder: Holder): Account {
    let account = this.#accounts.get(holder);
    if (account === undefined) {
      account = { running: 0, waiting: 0, lastStart: 0 };
      this.#accounts.set(holder, account);
    }
    return account;
  }
}
