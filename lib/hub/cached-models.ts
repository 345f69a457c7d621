/** What is in the Hugging Face cache, and how it leaves it. Links are never followed. */
import { randomUUID } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KvasirError } from '../errors.js';
import { aliases } from './aliases.js';
import { CachedRepository, cacheRoot } from './cache.js';
import { writeError } from './disk.js';
import { packageRepository } from './package-source.js';
import { parseReference, unknownReference } from './reference.js';

export interface CachedModel {
  /** As `Model.load` takes it. */
  model: string;
  /** Bytes on the disk, those of downloads that were cut off too. */
  bytes: number;
  /** Of the newest file, ms since 1970. */
  modifiedAt: number;
  folder: string;
}

/** Folders within: of the cache's layout no deeper ones hold files. */
const deepest = 8;

/** Sum of sizes and newest time of the regular files in a folder. */
async function contents(folder: string, depth = 0): Promise<{ bytes: number; modifiedAt: number }> {
  const sum = { bytes: 0, modifiedAt: 0 };
  const entries = await readdir(folder, { withFileTypes: true }).catch((): Dirent[] => []);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth < deepest) {
      const inner = await contents(path, depth + 1);
      sum.bytes += inner.bytes;
      sum.modifiedAt = Math.max(sum.modifiedAt, inner.modifiedAt);
    } else if (entry.isFile()) {
      const { size, mtimeMs } = await lstat(path);
      sum.bytes += size;
      sum.modifiedAt = Math.max(sum.modifiedAt, mtimeMs);
    }
  }
  return sum;
}

/** Repositories on the hub and in packages that an alias is fetched from. */
function repositoriesOf(alias: string): string[] {
  const entry = aliases[alias]!;
  return entry.kind === 'embedded' ? [] : [entry.repository, packageRepository(entry.fallback)];
}

function referenceTo(repository: string): string {
  const alias = Object.keys(aliases).find((name) => repositoriesOf(name).includes(repository));
  return alias ?? `hf:${repository}`;
}

/** In the order of their names; [] where there is no cache. */
export async function listCachedModels(): Promise<CachedModel[]> {
  const root = cacheRoot();
  const entries = await readdir(root, { withFileTypes: true }).catch((): Dirent[] => []);
  const models: CachedModel[] = [];
  for (const entry of entries) {
    const match = /^models--([\w.-]+?)--([\w.-]+)$/.exec(entry.name);
    if (match === null || !entry.isDirectory()) continue;
    const folder = join(root, entry.name);
    const found = await contents(folder);
    // The layout without files is what is left of a download that did not begin.
    if (found.bytes > 0) models.push({ model: referenceTo(`${match[1]}/${match[2]}`), ...found, folder });
  }
  return models.sort((a, b) => (a.model < b.model ? -1 : 1));
}

/**
 * Takes a model out of the cache: its folder leaves its name at once, so that nobody finds half of it. Gives the folders that
 * were removed. Throws MODEL_NOT_FOUND where there is none, INVALID_OPTION for what the cache does not hold, DOWNLOAD for
 * what the file system says.
 */
export async function removeCachedModel(reference: string): Promise<CachedModel[]> {
  const parsed = parseReference(reference);
  if (parsed.kind === 'path' || (parsed.kind === 'hub' && parsed.file !== undefined)) {
    throw new KvasirError(
      'INVALID_OPTION',
      `${reference} is not a model of the cache: give an alias or hf:org/name, as "kvasir models" lists them.`,
    );
  }
  const repositories = parsed.kind === 'alias' ? repositoriesOf(parsed.name) : [parsed.repository];
  if (repositories.length === 0) {
    throw new KvasirError('INVALID_OPTION', `${reference} is part of this package: it cannot be removed.`);
  }
  const folders = new Set(repositories.map((repository) => new CachedRepository(repository).folder));
  const models = (await listCachedModels()).filter(({ folder }) => folders.has(folder));
  if (models.length === 0) throw unknownReference(reference, `The cache ${cacheRoot()} has no such model`);
  for (const { folder } of models) {
    const leaving = join(dirname(folder), `.removed-${randomUUID()}`);
    try {
      await rename(folder, leaving);
      await rm(leaving, { recursive: true, force: true });
    } catch (cause) {
      throw await writeError(cause, folder, 0);
    }
  }
  return models;
}
