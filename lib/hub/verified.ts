/** Whether a file is what its hash says: it is read from the disk, not believed from the network. */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

/** What the content must hash to: sha256 of the bytes (LFS), or sha1 as git hashes a blob. */
export interface ContentHash {
  kind: 'sha256' | 'git-sha1';
  hex: string;
}

/** The name of a blob is its hash; undefined for other names. */
export function hashOfName(name: string): ContentHash | undefined {
  if (/^[0-9a-f]{64}$/.test(name)) return { kind: 'sha256', hex: name };
  return /^[0-9a-f]{40}$/.test(name) ? { kind: 'git-sha1', hex: name } : undefined;
}

export interface Reading {
  signal?: AbortSignal;
  /** Bytes that have been read. */
  onRead?: (bytes: number) => void;
}

const chunkBytes = 1 << 20;

/** What the file hashes to; undefined where it is not of this size. */
export async function hashOf(
  handle: FileHandle,
  bytes: number,
  kind: ContentHash['kind'],
  { signal, onRead }: Reading,
): Promise<string | undefined> {
  const hash = kind === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`);
  const buffer = Buffer.allocUnsafe(chunkBytes);
  for (let at = 0; at < bytes; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(chunkBytes, bytes - at), at);
    if (bytesRead === 0) return undefined;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
    onRead?.(at);
  }
  return (await handle.stat()).size === bytes ? hash.digest('hex') : undefined;
}

export async function hasContent(
  handle: FileHandle,
  bytes: number,
  { kind, hex }: ContentHash,
  reading: Reading,
): Promise<boolean> {
  return (await hashOf(handle, bytes, kind, reading)) === hex;
}
