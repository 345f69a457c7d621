/**
 * A file on its way into the cache: `<blob>.incomplete`. Every run writes to a file of its own, which no one else has
 * ever had open: what an earlier run left is copied into it. So nothing that another process does, with a lock or without,
 * changes bytes after they were verified. Links, pipes and what else may stand under the name are removed, not followed.
 */
import { randomUUID } from 'node:crypto';
import { constants, type FileHandle, lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { writeError } from './disk.js';
import { type ContentHash, hasContent, type Reading } from './verified.js';

const chunkBytes = 1 << 20;

export class PartialFile {
  /** How much of it there is. */
  bytes = 0;

  private constructor(
    readonly path: string,
    readonly total: number,
    readonly handle: FileHandle,
  ) {}

  /** Starts from what an earlier run left under the name, if that can be part of `total` bytes. */
  static async open(path: string, total: number, reading: Reading): Promise<PartialFile> {
    try {
      // Another run may take this one's for an orphan.
      return await PartialFile.#create(path, total, reading).catch((cause) => {
        if (cause.code !== 'ENOENT') throw cause;
        return PartialFile.#create(path, total, reading);
      });
    } catch (cause) {
      reading.signal?.throwIfAborted();
      throw await writeError(cause, dirname(path), total);
    }
  }

  static async #create(path: string, total: number, reading: Reading): Promise<PartialFile> {
    const fresh = `${path}.${randomUUID()}`;
    let handle: FileHandle | undefined;
    try {
      await removeOrphans(path);
      handle = await open(fresh, 'wx+');
      const file = new PartialFile(path, total, handle);
      await file.#takeOver(reading);
      await rename(fresh, path);
      return file;
    } catch (cause) {
      await handle?.close();
      await rm(fresh, { force: true }).catch(() => {});
      throw cause;
    }
  }

  /** Copies what is there already. */
  async #takeOver({ signal, onRead }: Reading): Promise<void> {
    const earlier = await openLeftover(this.path, this.total);
    if (earlier === undefined) return;
    try {
      const buffer = Buffer.allocUnsafe(chunkBytes);
      while (this.bytes < this.total) {
        signal?.throwIfAborted();
        const wanted = Math.min(chunkBytes, this.total - this.bytes);
        const { bytesRead } = await earlier.read(buffer, 0, wanted, this.bytes);
        if (bytesRead === 0) return;
        await this.#writeAll(buffer.subarray(0, bytesRead));
        onRead?.(this.bytes);
      }
    } finally {
      await earlier.close();
    }
  }

  async append(chunk: Uint8Array): Promise<void> {
    try {
      await this.#writeAll(chunk);
    } catch (cause) {
      throw await writeError(cause, dirname(this.path), this.total - this.bytes);
    }
  }

  /** Short writes are possible when the disk fills: it goes on until the chunk is out or an error says why not. */
  async #writeAll(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.handle.write(chunk, done, chunk.length - done, this.bytes);
      done += bytesWritten;
      this.bytes += bytesWritten;
    }
  }

  async rewind(): Promise<void> {
    await this.handle.truncate(0);
    this.bytes = 0;
  }

  /** It is whole, on the disk, and hashes to what it should. */
  async isGood(hash: ContentHash, reading: Reading): Promise<boolean> {
    await this.handle.sync();
    return this.bytes === this.total && (await hasContent(this.handle, this.total, hash, reading));
  }

  /** Gives it its name. False where another file has taken its place meanwhile: this one was not named then. */
  async name(blob: string): Promise<boolean> {
    // Under a name that nobody else knows it can be looked at before it is seen under its own.
    const own = `${blob}.${randomUUID()}.whole`;
    const isThere = await rename(this.path, own).then(
      () => true,
      (error) => {
        if (error.code !== 'ENOENT') throw error;
        return false;
      },
    );
    if (!isThere) return false;
    const [there, ours] = await Promise.all([
      lstat(own, { bigint: true }),
      this.handle.stat({ bigint: true }),
    ]);
    const isOurs = there.ino === ours.ino && there.dev === ours.dev;
    await rename(own, isOurs ? blob : this.path);
    return isOurs;
  }

  /** Removes the name, even where another run has it by now: what is lost can be fetched again. */
  async discard(): Promise<void> {
    await rm(this.path, { force: true });
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** Files under names of one run only, which was killed before it could give them their own. */
async function removeOrphans(path: string): Promise<void> {
  const blob = basename(path).replace(/\.incomplete$/, '');
  const isOrphan = new RegExp(`^${blob}(\\.incomplete)?\\.[0-9a-f-]{36}(\\.whole)?$`);
  const names = await readdir(dirname(path));
  for (const name of names.filter((one) => isOrphan.test(one))) await rm(join(dirname(path), name));
}

/** A regular file with one name and at most `total` bytes; anything else is removed. A folder rejects with EISDIR. */
async function openLeftover(path: string, total: number): Promise<FileHandle | undefined> {
  const info = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (info === undefined) return undefined;
  if (info.isFile() && info.nlink === 1 && info.size <= total) {
    const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
    const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
    if (handle !== undefined && (await handle.stat()).isFile()) return handle;
    await handle?.close();
  }
  await rm(path, { force: true });
  return undefined;
}
