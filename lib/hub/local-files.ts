/** Finds the files of a model in a folder, or takes a `.gguf` and, of a split one, its other parts. Reads nothing but the list of shards. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { KvasirError } from '../errors.js';
import { readShardIndex } from '../shard-index.js';
import { fileSize } from './cache.js';
import { ggufModels, ggufParts, ggufStem } from './gguf-parts.js';
import type { GgufFiles, HfFolderFiles, ModelFiles } from './model-files.js';
import { otherWeightsOnly } from './other-weights.js';
import { checkRelativeName, unknownReference } from './reference.js';

const shardIndex = 'model.safetensors.index.json';

const templateFolder = 'additional_chat_templates';

/** A `.gguf` file, or any part of a split one with all others beside it. Throws MODEL_FORMAT naming the parts that are missing. */
export async function ggufFiles(path: string, displayName = ggufStem(basename(path))): Promise<GgufFiles> {
  const root = dirname(path);
  const names = ggufParts(basename(path));
  const sizes = await Promise.all(names.map((name) => fileSize(join(root, name))));
  const missing = names.filter((_, i) => names.length > 1 && sizes[i] === undefined);
  if (missing.length > 0) throw lacks(root, missing, names.length);
  return { kind: 'gguf', root, weights: names.map((name) => join(root, name)), displayName };
}

const listedNames = 6;

function lacks(root: string, missing: readonly string[], count: number): KvasirError {
  const more = missing.length > listedNames ? ` and ${missing.length - listedNames} more` : '';
  return new KvasirError(
    'MODEL_FORMAT',
    `${root} lacks ${missing.length} of ${count} weight files: ${missing.slice(0, listedNames).join(', ')}${more}.`,
  );
}

function nameOneOf(root: string, lacking: string, ggufs: readonly string[]): KvasirError {
  return new KvasirError(
    'MODEL_FORMAT',
    `${root} has ${lacking}. Name one of its GGUF files: ${ggufs.join(', ')}.`,
  );
}

function cannotRead(path: string, cause: unknown): KvasirError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const what =
    code === 'EACCES' || code === 'EPERM'
      ? `No permission to read ${path}: give this user read access to it`
      : `Cannot read ${path}: ${message}`;
  return new KvasirError('MODEL_NOT_FOUND', `${what}.`, { cause });
}

/** Names of the shards that the index lists, in order. Throws MODEL_NOT_FOUND and MODEL_FORMAT. */
export async function shardNames(indexPath: string): Promise<string[]> {
  const names = [...new Set((await readShardIndex(indexPath)).values())].sort();
  for (const name of names) checkRelativeName(name);
  return names;
}

/** The weights, and the index of shards where there is one. */
async function weightFiles(
  root: string,
  names: ReadonlySet<string>,
): Promise<Pick<HfFolderFiles, 'weights' | 'shardIndex'>> {
  if (names.has('model.safetensors')) return { weights: [join(root, 'model.safetensors')] };
  if (names.has(shardIndex)) {
    const index = join(root, shardIndex);
    const shards = await shardNames(index);
    const missing = shards.filter((shard) => !names.has(shard));
    if (missing.length > 0) throw lacks(root, missing, shards.length);
    return { weights: shards.map((shard) => join(root, shard)), shardIndex: index };
  }
  const others = [...names].filter((name) => name.endsWith('.safetensors'));
  if (others.length === 1) return { weights: [join(root, others[0]!)] };
  if (others.length === 0) {
    const ggufs = ggufModels([...names].filter((name) => name.endsWith('.gguf')));
    if (ggufs.length > 0) throw nameOneOf(root, 'no .safetensors file', ggufs);
    const other = otherWeightsOnly(root, names);
    if (other) throw other;
  }
  const found =
    others.length === 0 ? 'no .safetensors file' : `${others.length} .safetensors files and no ${shardIndex}`;
  throw new KvasirError('MODEL_FORMAT', `${root} has ${found}: the weights cannot be told.`);
}

async function templatesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause) => {
    throw cannotRead(folder, cause);
  });
  return names
    .filter((name) => name.endsWith('.jinja'))
    .sort()
    .map((name) => join(folder, name));
}

/** Throws MODEL_NOT_FOUND (no such folder, no permission) or MODEL_FORMAT (something is missing). */
export async function folderFiles(root: string, displayName = basename(root)): Promise<ModelFiles> {
  let names: Set<string>;
  try {
    names = new Set(await readdir(root));
  } catch (cause) {
    throw cannotRead(root, cause);
  }
  if (!names.has('config.json')) {
    const ggufs = ggufModels([...names].filter((name) => name.endsWith('.gguf')));
    if (ggufs.length === 1) return ggufFiles(join(root, ggufs[0]!), displayName);
    if (ggufs.length > 1) throw nameOneOf(root, 'no config.json, so it is no model folder', ggufs);
    throw (
      otherWeightsOnly(root, names) ??
      new KvasirError('MODEL_FORMAT', `${root} has no config.json, so it is no model folder.`)
    );
  }
  const optional = (name: string): string | undefined => (names.has(name) ? join(root, name) : undefined);
  const files: HfFolderFiles = {
    kind: 'hf-folder',
    root,
    config: join(root, 'config.json'),
    ...(await weightFiles(root, names)),
    tokenizer: optional('tokenizer.json'),
    tokenizerConfig: optional('tokenizer_config.json'),
    specialTokensMap: optional('special_tokens_map.json'),
    addedTokens: optional('added_tokens.json'),
    generationConfig: optional('generation_config.json'),
    chatTemplate: optional('chat_template.jinja'),
    namedTemplates: names.has(templateFolder) ? await templatesIn(join(root, templateFolder)) : undefined,
    displayName,
  };
  return files;
}

/** A folder or a `.gguf` file that the user names. Throws MODEL_NOT_FOUND or MODEL_FORMAT. */
export async function localFiles(path: string): Promise<ModelFiles> {
  const absolute = resolve(path);
  try {
    const real = await realpath(absolute);
    const info = await stat(real);
    if (info.isDirectory()) return await folderFiles(absolute);
    if (absolute.endsWith('.gguf') || real.endsWith('.gguf')) return await ggufFiles(absolute);
  } catch (cause) {
    if (cause instanceof KvasirError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'ENAMETOOLONG') throw cannotRead(absolute, cause);
    const onHub = /^\w[\w.-]*\/[\w.-]+$/.test(path) ? ` (on the hub? then write hf:${path})` : '';
    throw unknownReference(path, `There is no such alias, folder or file${onHub}`);
  }
  const other = otherWeightsOnly(dirname(absolute), [basename(absolute)]);
  if (other) throw other;
  throw new KvasirError(
    'MODEL_FORMAT',
    `${absolute} is no .gguf file and no folder. For a .safetensors file give the folder that holds it and its config.json.`,
  );
}
