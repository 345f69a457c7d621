/**
 * One worker at a time, among threads, processes, containers and hosts that share a folder: a lock file that names its
 * holder and is written again while he works. Whoever is certainly dead is followed at once, all others when nothing
 * has been heard of them for a while.
 *
 * A lock can be lost: a process that was stopped for a minute wakes up and is no longer the holder. So it only saves work;
 * what it guards is safe without it (partial-file.ts: nobody gives a name to a file that somebody else has open).
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  heldHere,
  isDead,
  type LockOwner,
  newOwner,
  parseOwner,
  sharedClock,
  sharesClock,
} from './lock-owner.js';
import { readShort } from './short-file.js';

const pollMs = 100;
/** A record has the same length at every beat: one write replaces it. */
const recordBytes = 1024;

export interface LockTimes {
  /** The holder writes so often. Default 3,000 ms. */
  beatMs?: number;
  /** Silence after which somebody else takes the lock. Default 30,000 ms. */
  staleMs?: number;
}

/** Somebody else took the lock while the work ran. */
class LockLost extends Error {}

function recordOf(owner: LockOwner): string {
  return JSON.stringify(owner).padEnd(recordBytes);
}

/** What a path holds; undefined: nothing any more. A link, or what is no record, is shown as itself. */
async function look(path: string): Promise<string | undefined> {
  try {
    return await readShort(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    // A link is never followed; it stays until time takes it away.
    if (code === 'ELOOP' || code === 'EMLINK' || code === 'ENXIO') return `no record: ${code}`;
    throw error;
  }
}

/** How long somebody else's record has not changed, as seen from here. */
class Watch {
  #seen: string | undefined;
  #since = 0;

  /** Whether the holder counts as gone. */
  isGone(record: string, self: LockOwner, staleMs: number): boolean {
    const now = sharedClock();
    if (record !== this.#seen) {
      this.#seen = record;
      this.#since = now;
    }
    const owner = parseOwner(record);
    if (owner !== undefined && isDead(owner, self)) return true;
    const silent = owner !== undefined && sharesClock(owner, self) ? now - owner.clock : 0;
    return Math.max(now - this.#since, silent) > staleMs;
  }
}

class Lock {
  #owner: LockOwner;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  readonly #lost = new AbortController();

  private constructor(
    readonly path: string,
    owner: LockOwner,
    readonly handle: FileHandle,
  ) {
    this.#owner = owner;
    heldHere.add(owner.nonce);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** A new lock file; undefined where there is one. */
  static async create(path: string): Promise<Lock | undefined> {
    let handle: FileHandle;
    try {
      handle = await open(path, 'wx');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
      throw error;
    }
    return Lock.#started(path, handle, path);
  }

  /** Replaces the file of a holder who is gone, in one step: at no time is there none. */
  static async replace(path: string): Promise<Lock> {
    const fresh = `${path}.${randomUUID()}`;
    return Lock.#started(path, await open(fresh, 'wx'), fresh);
  }

  /** Writes the record and, where the file has another name yet, gives it its own. */
  static async #started(path: string, handle: FileHandle, name: string): Promise<Lock> {
    const lock = new Lock(path, newOwner(), handle);
    try {
      await lock.#write();
      if (name !== path) await rename(name, path);
      return lock;
    } catch (error) {
      await lock.release();
      await rm(name, { force: true }).catch(() => {});
      throw error;
    }
  }

  keepAlive(beatMs: number): void {
    this.#timer = setInterval(() => {
      this.#beating = this.#beating.then(() => this.#beat());
    }, beatMs);
    this.#timer.unref();
  }

  /** The file is still this one's. */
  async isOurs(): Promise<boolean> {
    const record = await look(this.path).catch(() => undefined);
    return record !== undefined && parseOwner(record)?.nonce === this.#owner.nonce;
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    if (await this.isOurs()) await rm(this.path, { force: true }).catch(() => {});
    heldHere.delete(this.#owner.nonce);
    await this.handle.close().catch(() => {});
  }

  async #beat(): Promise<void> {
    if (!(await this.isOurs())) this.#lost.abort(new LockLost('the lock was taken'));
    this.#owner = { ...this.#owner, beat: this.#owner.beat + 1, clock: sharedClock() };
    // A disk that takes no more says so where the work writes to it.
    await this.#write().catch(() => {});
  }

  async #write(): Promise<void> {
    await this.handle.write(recordOf(this.#owner), 0);
  }
}

async function acquire(path: string, signal: AbortSignal | undefined, staleMs: number): Promise<Lock> {
  const watch = new Watch();
  const self = newOwner();
  for (;;) {
    signal?.throwIfAborted();
    const lock = await Lock.create(path);
    if (lock) return lock;
    const record = await look(path);
    if (record === undefined) continue;
    if (watch.isGone(record, self, staleMs) && (await look(path)) === record) {
      const taken = await Lock.replace(path);
      // Two may have replaced it: the last one has it.
      if (await taken.isOurs()) return taken;
      await taken.release();
    }
    await sleep(pollMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}

/**
 * Runs `work` while nobody else holds the lock; from the beginning again where the lock was lost meanwhile, of which its
 * signal tells. Rejects with the caller's reason when he aborts, also while it waits.
 */
export async function withLock<T>(
  path: string,
  options: LockTimes & { signal?: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, beatMs = 3000, staleMs = 30_000 } = options;
  for (;;) {
    const lock = await acquire(path, signal, staleMs);
    lock.keepAlive(beatMs);
    try {
      return await work(signal ? AbortSignal.any([signal, lock.lost]) : lock.lost);
    } catch (error) {
      if (!(error instanceof LockLost)) throw error;
    } finally {
      await lock.release();
    }
  }
}
