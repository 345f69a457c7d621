/** What can go wrong with the disk, as errors that say what to do. */
import { mkdir, statfs } from 'node:fs/promises';
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

/** A failed write as a DOWNLOAD error; `required` bytes were still to come. */
export async function writeError(cause: unknown, folder: string, required: number): Promise<unknown> {
  const { code, message } = cause as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return diskFull(folder, required, await freeBytes(folder), cause);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
      return new KvasirError(
        'DOWNLOAD',
        `Cannot write to the model cache ${folder} (${code}): give this user write access, or set HF_HOME to a folder that can be written.`,
        { cause, details: { reason: 'permission' } },
      );
    case undefined:
      return cause;
    default:
      return new KvasirError('DOWNLOAD', `Writing to ${folder} failed: ${message}.`, {
        cause,
        details: { reason: 'disk' },
      });
  }
}
