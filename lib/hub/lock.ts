/** One writer per file: a lock file holds the process id, and the lock of a process that is gone counts for nothing. */
import { open, readFile, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const held = new Set<string>();
const pollMs = 100;
const writingMs = 5000;

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function stale(path: string): Promise<boolean> {
  const pid = Number(await readFile(path, 'utf8').catch(() => ''));
  if (pid === process.pid) return !held.has(path);
  if (Number.isInteger(pid) && pid > 0) return !alive(pid);
  // Empty: it is being written, unless its writer died over it.
  const written = await stat(path).catch(() => undefined);
  return written !== undefined && Date.now() - written.mtimeMs > writingMs;
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(String(process.pid));
    await file.close();
    held.add(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (await stale(path)) await rm(path, { force: true });
    return false;
  }
}

/** Runs `work` while no other process or call holds the lock. Rejects with the signal's reason while it waits. */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  while (!(await tryLock(path)))
    await sleep(pollMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
  try {
    return await work();
  } finally {
    held.delete(path);
    await rm(path, { force: true });
  }
}
