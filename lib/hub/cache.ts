/**
 * The Hugging Face cache on disk, shared in place with the Python tools:
 *   models--org--name/blobs/<hash>  snapshots/<revision>/<file> -> ../../blobs/<hash>  refs/main (holds a revision)
 * What is verified is noted in .verified/<hash>, of which those tools know nothing: size and time of the blob.
 * Files of a Python package have the same layout under models--pypi--<package>, the version as the revision.
 * (The hub package has functions for these paths; importing it takes 80 ms, which a start from the cache need not pay.)
 */
import { randomUUID } from 'node:crypto';
import { constants, copyFile, mkdir, open, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { readShort, stateOf, writeShort } from './short-file.js';
import { hashOfName, hasContent, type Reading } from './verified.js';

/** HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  const set = (name: string): string | undefined => env[name] || undefined;
  const own = set('HF_HUB_CACHE') ?? set('HUGGINGFACE_HUB_CACHE');
  if (own) return expandHome(own);
  const home = set('HF_HOME') ?? join(set('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  return join(expandHome(home), 'hub');
}

function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
}

export interface Expected extends Reading {
  trust: boolean;
  bytes?: number;
}

export class CachedRepository {
  readonly folder: string;

  /** `name` is org/name. */
  constructor(name: string, root = cacheRoot()) {
    this.folder = join(root, ['models', ...name.split('/')].join('--'));
  }

  get blobs(): string {
    return join(this.folder, 'blobs');
  }

  blob(hash: string): string {
    return join(this.blobs, hash);
  }

  snapshot(revision: string): string {
    return join(this.folder, 'snapshots', revision);
  }

  /** Folder of the newest revision that was fetched, or undefined. */
  async current(): Promise<string | undefined> {
    try {
      const revision = (await readShort(join(this.folder, 'refs', 'main'))).trim();
      return /^[\w.-]+$/.test(revision) && !/^\.+$/.test(revision) ? this.snapshot(revision) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Makes a finished blob visible under its name. */
  async link(hash: string, revision: string, name: string): Promise<string> {
    const path = join(this.snapshot(revision), name);
    const fresh = `${path}.${randomUUID()}`;
    await mkdir(dirname(path), { recursive: true });
    try {
      await symlink(relative(dirname(path), this.blob(hash)), fresh).catch((error) => {
        // Where links need a privilege (Windows) the file lies there twice.
        if (error.code !== 'EPERM') throw error;
        return copyFile(this.blob(hash), fresh, constants.COPYFILE_EXCL);
      });
      await rename(fresh, path);
    } catch (error) {
      await rm(fresh, { force: true });
      throw error;
    }
    return path;
  }

  /** Points refs/main at a revision whose files are all there. */
  async setCurrent(revision: string): Promise<void> {
    const path = join(this.folder, 'refs', 'main');
    await mkdir(dirname(path), { recursive: true });
    await writeShort(path, revision);
  }

  /** Remembers size and time of a blob that hashes to its name. Where that cannot be written it is looked at again. */
  async noteVerified(hash: string): Promise<void> {
    const state = await stateOf(this.blob(hash));
    if (state === undefined) return;
    const path = this.#recordOf(hash);
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeShort(path, state.word);
    } catch {
      // A cache that is only read.
    }
  }

  /**
   * Whether a blob is there and whole: its size and time are those of when it was verified, or it hashes to its name.
   * @param trust take one that was never verified here (the Python tools fetched it) for what it is called.
   */
  async isIntact(hash: string, { trust, bytes, ...reading }: Expected): Promise<boolean> {
    const state = await stateOf(this.blob(hash));
    if (state === undefined || (bytes !== undefined && state.bytes !== bytes)) return false;
    const noted = await readShort(this.#recordOf(hash)).catch(() => '');
    if (noted === state.word || (noted === '' && trust)) return true;
    const expected = hashOfName(hash);
    if (expected === undefined) return true;
    const handle = await open(this.blob(hash), 'r');
    const good = await hasContent(handle, state.bytes, expected, reading).finally(() => handle.close());
    if (good) await this.noteVerified(hash);
    return good;
  }

  /** The blob behind a file of a snapshot; undefined where it is no link to one. */
  async blobBehind(path: string): Promise<string | undefined> {
    const [real, blobs] = await Promise.all([path, this.blobs].map((one) => realpath(one).catch(() => '')));
    return real !== '' && dirname(real!) === blobs ? basename(real!) : undefined;
  }

  #recordOf(hash: string): string {
    return join(this.folder, '.verified', hash);
  }
}

/** The size of a file, links followed; undefined when there is none. */
export async function fileSize(path: string): Promise<number | undefined> {
  try {
    const info = await stat(path);
    return info.isFile() ? info.size : undefined;
  } catch {
    return undefined;
  }
}
