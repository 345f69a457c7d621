/** A folder that a command writes: it appears whole or not at all, where nothing was. */
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { types } from 'node:util';
import { KvasirError } from './errors.js';
import { invalidOption } from './given.js';

/** Absolute. Throws INVALID_OPTION unless a folder can come to be there. @param what 'The INT8 form' */
export async function freeFolder(out: string, what: string): Promise<string> {
  const folder = resolve(out);
  const entries = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    if (error.code === 'ENOTDIR')
      throw invalidOption('out', folder, 'a folder that is empty or does not exist');
    throw cannotWrite(error, folder, what);
  });
  if (entries.length > 0) throw invalidOption('out', folder, 'a folder that is empty or does not exist');
  return folder;
}

/** @param write fills a folder beside the place of `folder`, so that renaming is enough. Nothing is left when it throws. */
export async function writeWhole(
  folder: string,
  what: string,
  write: (partial: string) => Promise<void>,
): Promise<void> {
  const partial = `${folder}.partial-${process.pid}`;
  try {
    await mkdir(dirname(folder), { recursive: true });
    await mkdir(partial);
    await write(partial);
    await rename(partial, folder);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw cannotWrite(error, folder, what);
  }
}

/** Errors of the file system as ours. */
function cannotWrite(error: unknown, folder: string, what: string): unknown {
  if (!types.isNativeError(error) || error instanceof KvasirError) return error;
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  return new KvasirError(
    'INVALID_OPTION',
    `${what} cannot be written to ${folder}: ${message}. Choose a folder that this user may write to, on a disk with room.`,
    { cause: error, details: { option: 'out' } },
  );
}
