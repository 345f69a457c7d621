/** A file that a command writes at its end, and whose place it makes sure of before it begins. */
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { KvasirError } from '../errors.js';
import { UsageError } from './failure.js';

export class OutputFile {
  readonly #path: string;
  readonly #partial: string;
  readonly #handle: FileHandle;

  private constructor(path: string, partial: string, handle: FileHandle) {
    this.#path = path;
    this.#partial = partial;
    this.#handle = handle;
  }

  /**
   * Makes a file beside `path`. Throws UsageError, naming `flag`, where it cannot, or where one of the files that the
   * command reads has that place, under whatever name.
   */
  static async reserve(path: string, flag: string, reads: readonly string[] = []): Promise<OutputFile> {
    const there = await stat(path, { bigint: true }).catch(() => undefined);
    if (there !== undefined && !there.isFile()) throw new UsageError(`${flag} ${path} is not a file.`);
    for (const read of there === undefined ? [] : reads) {
      const other = await stat(read, { bigint: true }).catch(() => undefined);
      if (other?.ino === there?.ino && other?.dev === there?.dev)
        throw new UsageError(
          `${flag} ${path} would replace a file that is read: ${read}. Give another name.`,
        );
    }
    const partial = `${path}.${process.pid}.partial`;
    try {
      return new OutputFile(path, partial, await open(partial, 'wx'));
    } catch (error) {
      throw new UsageError(`${flag} cannot be written: ${(error as Error).message}`);
    }
  }

  /** The content takes its place at once, whole. */
  async write(content: string): Promise<void> {
    try {
      await this.#handle.writeFile(content);
      await this.#handle.close();
      await rename(this.#partial, this.#path);
    } catch (cause) {
      throw new KvasirError(
        'INVALID_OPTION',
        `${this.#path} cannot be written: ${(cause as Error).message}. Make room, or give another place.`,
        { cause },
      );
    }
  }

  /** Nothing is left behind. No effect after `write`. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {});
    await rm(this.#partial, { force: true });
  }
}
