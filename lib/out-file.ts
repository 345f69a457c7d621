/** A file that appears whole or not at all, in the place of what was there. */
import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';

/** @param write writes a file beside the place of `path`, so that renaming is enough. Nothing is left when it throws. */
export async function writeWholeFile(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = `${path}.${process.pid}.${randomUUID().slice(0, 8)}.partial`;
  try {
    await write(partial);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw error;
  }
}
