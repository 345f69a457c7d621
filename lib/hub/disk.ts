/** What can go wrong with the disk, as errors that say what to do. */
import { mkdir, open, statfs } from 'node:fs/promises';
import { types } from 'node:util';
import { KvasirError } from '../errors.js';

/** Left free beside what is written. */
const reserve = 16 << 20;

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

function diskFull(
  folder: string,
  required: number,
  available: number | undefined,
  cause?: unknown,
): KvasirError {
  const free = available === undefined ? '' : `, ${megabytes(available)} are free`;
  return new KvasirError(
    'DOWNLOAD',
    `The disk of ${folder} is full or a limit is reached: ${megabytes(required)} are needed${free}. ` +
      'Make room, or set HF_HOME to a folder on another disk; what is already there is kept and the download goes on from it.',
    { cause, details: { required, ...(available === undefined ? {} : { available }), reason: 'disk' } },
  );
}

/** Creates the folder and makes sure that `required` more bytes fit. Throws DOWNLOAD. */
export async function prepareFolder(folder: string, required: number): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw await writeError(cause, folder, required);
  }
  const available = await freeBytes(folder);
  if (available !== undefined && available < required + (required > 0 ? reserve : 0)) {
    throw diskFull(folder, required, available);
  }
}

const inTheWay: Readonly<Record<string, string>> = {
  EISDIR: 'a folder stands where a file must go',
  ERR_FS_EISDIR: 'a folder stands where a file must go',
  ENOTEMPTY: 'a folder stands where a file must go',
  EEXIST: 'something stands where a file or folder must go',
  ENOTDIR: 'a file stands where a folder must go',
  ELOOP: 'a link stands where a file must go',
};

/** A failed write as a DOWNLOAD error; `required` bytes were still to come. What is no error of the system stays itself. */
export async function writeError(cause: unknown, folder: string, required: number): Promise<unknown> {
  if (!types.isNativeError(cause) || cause instanceof KvasirError) return cause;
  const { code, message, path, dest } = cause as NodeJS.ErrnoException & { dest?: string };
  const where = dest ?? path ?? folder;
  const failed = (text: string, reason: string): KvasirError =>
    new KvasirError('DOWNLOAD', text, { cause, details: { reason, path: where } });
  switch (code) {
    case undefined:
      return cause;
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return diskFull(folder, required, await freeBytes(folder), cause);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return failed(
        `Cannot write ${where} in the model cache ${folder} (${code}): give this user write access, or set HF_HOME to a folder that can be written.`,
        'permission',
      );
    default:
      if (inTheWay[code] === undefined) return failed(`Writing to ${folder} failed: ${message}.`, 'disk');
      return failed(
        `${where} cannot be written: ${inTheWay[code]} (${code}). Remove it, or set HF_HOME to another folder.`,
        'disk',
      );
  }
}

/** Makes a rename last through a power cut, where the system can do that. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // Not every system can sync a folder; the file itself is synced.
  }
}
