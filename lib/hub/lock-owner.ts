/**
 * Who holds a lock: enough to tell whether he can still be alive, as seen from here. What cannot be told (another host,
 * another container) is left to time.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { threadId } from 'node:worker_threads';

export interface LockOwner {
  host: string;
  /** Of the running kernel: containers of one machine share it. '' where the system tells none. */
  boot: string;
  /** Pids of two namespaces say nothing to each other: in most containers the first process is 1. '' where there are none. */
  pidNamespace: string;
  pid: number;
  /** When the process started, in ticks since boot: pids come again. '' where the system does not tell. */
  started: string;
  /** Of Node: 0 is the main thread. */
  thread: number;
  /** Another one for every attempt. */
  nonce: string;
  /** Goes up while the holder works. */
  beat: number;
  /** Milliseconds of the clock that all processes of one boot share, when it last went up. */
  clock: number;
  /** For people. */
  time: string;
}

function readOr(read: () => string): string {
  try {
    return read().trim();
  } catch {
    return '';
  }
}

/** /proc shows the processes as this one sees them; in a namespace of its own it may still be that of the parent. */
const procIsOurs = readOr(() => readlinkSync('/proc/self')) === String(process.pid);

/** State and start (fields 3 and 22) of /proc/PID/stat; the name before them may hold anything, brackets too. */
function statOf(pid: number): { state: string; started: string } {
  const stat = procIsOurs ? readOr(() => readFileSync(`/proc/${pid}/stat`, 'utf8')) : '';
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', started: fields[19] ?? '' };
}

/** Linux counts monotonic milliseconds from the boot, for every process alike. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

export function newOwner(): LockOwner {
  return {
    host: hostname(),
    boot: readOr(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')),
    pidNamespace: readOr(() => readlinkSync('/proc/self/ns/pid')),
    pid: process.pid,
    started: statOf(process.pid).started,
    thread: threadId,
    nonce: randomUUID(),
    beat: 0,
    clock: sharedClock(),
    time: new Date().toISOString(),
  };
}

/** undefined: this is none, or not whole yet. */
export function parseOwner(text: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(text) as LockOwner;
    const numbers = [owner.clock, owner.beat, owner.pid, owner.thread];
    return typeof owner.nonce === 'string' && numbers.every(Number.isFinite) ? owner : undefined;
  } catch {
    return undefined;
  }
}

/** Locks that this thread holds, in all its copies of this module. */
const heldSymbol = Symbol.for('kvasir.hub.locks');
const registry = globalThis as { [heldSymbol]?: Set<string> };
registry[heldSymbol] ??= new Set();
export const heldHere: Set<string> = registry[heldSymbol];

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The clocks of both count from the same moment. Hosts' names are no proof: many machines are called the same. */
export function sharesClock(owner: LockOwner, self: LockOwner): boolean {
  return owner.boot !== '' && owner.boot === self.boot;
}

/** True only where it is certain; `self` is any owner of this thread. */
export function isDead(owner: LockOwner, self: LockOwner): boolean {
  if (!sharesClock(owner, self) || owner.pidNamespace !== self.pidNamespace) return false;
  if (owner.pid === self.pid) {
    if (owner.started !== self.started) return true;
    return owner.thread === self.thread && !heldHere.has(owner.nonce);
  }
  if (!isRunning(owner.pid)) return true;
  const { state, started } = statOf(owner.pid);
  return state === 'Z' || (started !== '' && owner.started !== '' && started !== owner.started);
}
