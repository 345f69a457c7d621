/** Small files that others may have put there: never followed where they are links, never waited for, never read far. */
import { randomUUID } from 'node:crypto';
import { constants, lstat, open, rename, rm, writeFile } from 'node:fs/promises';

const mostBytes = 4096;

const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;

/** The beginning of a file. Rejects with ENOENT, ELOOP for a link, or as the system does. */
export async function readShort(path: string): Promise<string> {
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    if (!(await handle.stat()).isFile()) return '';
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(mostBytes), 0, mostBytes, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Takes the name at once, whole. */
export async function writeShort(path: string, text: string): Promise<void> {
  const fresh = `${path}.${randomUUID()}`;
  try {
    await writeFile(fresh, text, { flag: 'wx' });
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

/** The size and the time of a file that is no link, as one word; undefined where there is none. */
export async function stateOf(path: string): Promise<{ bytes: number; word: string } | undefined> {
  const info = await lstat(path, { bigint: true }).catch(() => undefined);
  if (!info?.isFile()) return undefined;
  return { bytes: Number(info.size), word: `${info.size} ${info.mtimeNs}` };
}
