/**
 * The file of a vector index. Little-endian: 'KVASIRVI', uint32 version 1, uint32 dimensions, uint64 vectors, uint32 1 where
 * ids follow, uint32 0, uint64 size of the file; SHA-256 of these 40 bytes and of all after the hash. Then parts of
 * floor(2^20 / dimensions) vectors, at least 1: their int8 values [vectors, dimensions], and their ids as float64 [vectors].
 * What is cut, longer, damaged or foreign is refused.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { KvasirError } from '../errors.js';
import { writeWholeFile } from '../out-file.js';
import { type OpenFile, withRegularFile } from '../regular-file.js';

const MAGIC = 'KVASIRVI';
const VERSION = 1;
const HEAD = 40;
const HASH = 32;
const MOST_DIMENSIONS = 65_536;
const MOST_VECTORS = 2 ** 31 - 1;
const MOST_BYTES = 2 ** 48;

export interface IndexHead {
  dimensions: number;
  count: number;
  hasIds: boolean;
}

const rowsOfPart = (dimensions: number): number => Math.max(1, Math.floor(2 ** 20 / dimensions));
const rowBytes = ({ dimensions, hasIds }: IndexHead): number => dimensions + (hasIds ? 8 : 0);
const sizeOf = (head: IndexHead): number => HEAD + HASH + head.count * rowBytes(head);

function headBytes(head: IndexHead): Buffer {
  const bytes = Buffer.alloc(HEAD);
  bytes.write(MAGIC, 'latin1');
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(head.dimensions, 12);
  bytes.writeBigUInt64LE(BigInt(head.count), 16);
  bytes.writeUInt32LE(head.hasIds ? 1 : 0, 24);
  bytes.writeBigUInt64LE(BigInt(sizeOf(head)), 32);
  return bytes;
}

/** @param read bytes of some vectors, as they lie in the file. Throws INVALID_OPTION; nothing is left behind then. */
export async function writeIndexFile(
  path: string,
  head: IndexHead,
  read: (first: number, count: number) => Uint8Array,
): Promise<void> {
  try {
    await writeWholeFile(path, (partial) => writeParts(partial, head, read));
  } catch (cause) {
    throw new KvasirError('INVALID_OPTION', `${path} cannot be written: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function writeParts(
  path: string,
  head: IndexHead,
  read: (first: number, count: number) => Uint8Array,
): Promise<void> {
  const file = await open(path, 'wx');
  try {
    const start = headBytes(head);
    const hash = createHash('sha256').update(start);
    await file.write(Buffer.concat([start, Buffer.alloc(HASH)]));
    const rows = rowsOfPart(head.dimensions);
    for (let first = 0; first < head.count; first += rows) {
      const part = read(first, Math.min(rows, head.count - first));
      hash.update(part);
      await file.writeFile(part);
    }
    await file.write(hash.digest(), 0, HASH, HEAD);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @param begin called once the head is known to fit the file; what it returns takes the parts in order. */
export function readIndexFile(
  path: string,
  begin: (head: IndexHead) => (bytes: Uint8Array, count: number) => void,
): Promise<void> {
  return withRegularFile(path, MOST_BYTES, async (file) => {
    const start = await file.read(0, Math.min(file.size, HEAD + HASH));
    const head = headOf(path, file, start);
    const hash = createHash('sha256').update(start.subarray(0, HEAD));
    const take = begin(head);
    const rows = rowsOfPart(head.dimensions);
    for (let first = 0; first < head.count; first += rows) {
      const count = Math.min(rows, head.count - first);
      const part = await file.read(HEAD + HASH + first * rowBytes(head), count * rowBytes(head));
      hash.update(part);
      take(part, count);
    }
    if (!hash.digest().equals(start.subarray(HEAD))) throw damaged(path, 'its SHA-256 is another');
  });
}

function damaged(path: string, why: string): KvasirError {
  return new KvasirError(
    'MODEL_FORMAT',
    `${path} is no whole vector index: ${why}. Save the index again, or get the file again.`,
  );
}

/** Throws MODEL_FORMAT. */
function headOf(path: string, file: OpenFile, start: Buffer): IndexHead {
  if (start.length < HEAD + HASH || start.toString('latin1', 0, 8) !== MAGIC) {
    throw damaged(path, 'it begins otherwise');
  }
  const version = start.readUInt32LE(8);
  if (version !== VERSION) throw damaged(path, `it has version ${version}, and ${VERSION} is known`);
  const head = {
    dimensions: start.readUInt32LE(12),
    count: Number(start.readBigUInt64LE(16)),
    hasIds: start.readUInt32LE(24) === 1,
  };
  const sane = head.dimensions >= 1 && head.dimensions <= MOST_DIMENSIONS && head.count <= MOST_VECTORS;
  if (!sane || !headBytes(head).equals(start.subarray(0, HEAD))) throw damaged(path, 'its head is damaged');
  if (file.size !== sizeOf(head)) {
    throw damaged(path, `it has ${file.size} bytes, and its head says ${sizeOf(head)}`);
  }
  return head;
}
