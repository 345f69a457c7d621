/**
 * Reads whole files of bounded size, and nothing but regular files: a pipe, a device, a socket or a folder is refused before
 * anything waits for it, so that an abort and the end of the process never do. The size is that of the file when it was opened.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { KvasirError } from './errors.js';

/** A pipe that takes the file's place after it was looked at is opened without waiting for a writer. */
const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** It stays in the caches near a core. */
const pieceBytes = 2 ** 19;

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder';
  if (stats.isFIFO()) return 'a pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

/** Gives the size. Throws MODEL_FORMAT. */
function checked(path: string, stats: Stats, most: number): number {
  if (!stats.isFile()) {
    throw new KvasirError('MODEL_FORMAT', `${path} is ${kindOf(stats)}; a regular file is needed.`);
  }
  if (stats.size <= most) return stats.size;
  throw new KvasirError(
    'MODEL_FORMAT',
    `${path} has ${stats.size} bytes; a file of its kind has at most ${most}.`,
  );
}

function cannotRead(path: string, cause: unknown): KvasirError {
  if (cause instanceof KvasirError) return cause;
  return new KvasirError('MODEL_NOT_FOUND', `Cannot read ${path}: ${(cause as Error).message}`, { cause });
}

/** Fills `bytes` from a place in the file on. Gives how many bytes there were. */
async function fill(file: FileHandle, bytes: Uint8Array, from: number): Promise<number> {
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, from + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}

/** A regular file that is open: reads pieces of it. */
export interface OpenFile {
  readonly size: number;
  /** `bytes` bytes from `from` on, fewer at its end; a copy. */
  read(from: number, bytes: number): Promise<Buffer>;
}

/**
 * What `use` makes of a file that it reads in pieces. Throws MODEL_NOT_FOUND when it cannot be read, MODEL_FORMAT when it
 * is no regular file or has more than `most` bytes.
 */
export async function withRegularFile<Result>(
  path: string,
  most: number,
  use: (file: OpenFile) => Promise<Result>,
): Promise<Result> {
  let file: FileHandle | undefined;
  try {
    checked(path, await stat(path), most);
    file = await open(path, flags);
    const size = checked(path, await file.stat(), most);
    const handle = file;
    const read = async (from: number, length: number) => {
      const bytes = Buffer.allocUnsafe(Math.min(length, size - from));
      try {
        return bytes.subarray(0, await fill(handle, bytes, from));
      } catch (cause) {
        throw cannotRead(path, cause);
      }
    };
    return await use({ size, read });
  } catch (cause) {
    // What `use` throws goes through as it is: only the system's errors have a number.
    throw (cause as NodeJS.ErrnoException).errno === undefined ? cause : cannotRead(path, cause);
  } finally {
    await file?.close();
  }
}

/** Throws MODEL_NOT_FOUND when it cannot be read, MODEL_FORMAT when it is no regular file or has more than `most` bytes. */
export function readRegularFile(path: string, most: number): Promise<Buffer> {
  return withRegularFile(path, most, ({ size, read }) => read(0, size));
}

/** Opens at once, for threads that nobody waits for. */
function withFileSync<Result>(
  path: string,
  most: number,
  use: (file: number, size: number) => Result,
): Result {
  try {
    checked(path, statSync(path), most);
    const file = openSync(path, flags);
    try {
      return use(file, checked(path, fstatSync(file), most));
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw cannotRead(path, cause);
  }
}

/** Fills it from a place in the file on. Gives how many bytes there were. */
function fillSync(file: number, bytes: Uint8Array, from: number): number {
  let length = 0;
  while (length < bytes.length) {
    const read = readSync(file, bytes, length, bytes.length - length, from + length);
    if (read === 0) break;
    length += read;
  }
  return length;
}

/** `readRegularFile` at once, for threads that nobody waits for. */
export function readRegularFileSync(path: string, most: number): Buffer {
  return withFileSync(path, most, (file, size) => {
    const bytes = Buffer.allocUnsafe(size);
    return bytes.subarray(0, fillSync(file, bytes, 0));
  });
}

/** The same in pieces of one buffer: a large file need not be in memory. */
export function readInPiecesSync<Result>(
  path: string,
  most: number,
  use: (text: { bytes: number; each(take: (piece: Uint8Array) => void): void }) => Result,
): Result {
  return withFileSync(path, most, (file, bytes) => {
    const buffer = new Uint8Array(Math.min(bytes, pieceBytes));
    const each = (take: (piece: Uint8Array) => void): void => {
      for (let at = 0; at < bytes; ) {
        const read = fillSync(file, buffer.subarray(0, bytes - at), at);
        if (read === 0) break;
        take(buffer.subarray(0, read));
        at += read;
      }
    };
    return use({ bytes, each });
  });
}
