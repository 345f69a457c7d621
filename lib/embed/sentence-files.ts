/**
 * What the files of sentence-transformers beside a model say about embedding: modules.json (which steps there are), the
 * pooling's config.json, config_sentence_transformers.json (prompts) and sentence_bert_config.json (longest text).
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import { fileExists, readJsonObject, readJsonValue } from '../formats/json-file.js';
import type { HfFolderFiles } from '../hub/model-files.js';
import { denseWeights, readDense, writePlainDense } from './dense.js';
import { type EmbedDefaults, plainDefaults } from './embed-options.js';
import type { Pooling } from './pooling.js';

/** A folder beside modules.json, and nowhere else. */
const modulePath = v.pipe(v.string(), v.regex(/^[\w-]*$/));
const modulesSchema = v.array(v.looseObject({ path: v.optional(modulePath, ''), type: v.string() }));

/** Their names of poolings, and the flags of older files, in the order in which several are put together. */
const modes = ['cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken'] as const;
const flags = [
  'cls_token',
  'max_tokens',
  'mean_tokens',
  'mean_sqrt_len_tokens',
  'weightedmean_tokens',
  'lasttoken',
];
const poolingOf: Record<(typeof modes)[number], Pooling> = {
  cls: 'cls',
  max: 'max',
  mean: 'mean',
  mean_sqrt_len_tokens: 'mean-sqrt-length',
  weightedmean: 'weighted-mean',
  lasttoken: 'last',
};

const mode = v.picklist(modes);
const poolingSchema = v.looseObject({
  pooling_mode: v.optional(v.union([mode, v.array(mode)])),
  include_prompt: v.optional(v.boolean(), true),
});

const promptsSchema = v.looseObject({
  prompts: v.nullish(v.record(v.string(), v.string()), {}),
  default_prompt_name: v.nullish(v.string()),
});

const lengthSchema = v.looseObject({ max_seq_length: v.nullish(count) });

const modulesFile = 'modules.json';
const promptsFile = 'config_sentence_transformers.json';
const lengthFile = 'sentence_bert_config.json';

/** What a folder says, or else that of a plain model. Throws MODEL_FORMAT for files that cannot be used. */
export async function readEmbedDefaults({ root }: HfFolderFiles): Promise<EmbedDefaults> {
  const path = join(root, modulesFile);
  if (!(await fileExists(path))) return plainDefaults;
  const modules = parseConfig(modulesSchema, await readJsonValue(path), modulesFile);
  const kinds = modules.map(({ type }) => type.slice(type.lastIndexOf('.') + 1));
  const unknown = kinds.find((kind) => !['Transformer', 'Pooling', 'Dense', 'Normalize'].includes(kind));
  if (unknown !== undefined)
    return { ...plainDefaults, unsupported: `the module ${unknown} of modules.json` };
  const pooling = modules[kinds.indexOf('Pooling')];
  if (pooling === undefined) return { ...plainDefaults, unsupported: 'a modules.json without Pooling' };
  if (!/^Transformer Pooling( Dense)*( Normalize)?$/.test(kinds.join(' ')))
    return { ...plainDefaults, unsupported: `the steps ${kinds.join(', ')} of modules.json` };
  const folders = modules.filter((_, i) => kinds[i] === 'Dense').map(({ path: name }) => join(root, name));
  return {
    ...plainDefaults,
    dense: await Promise.all(folders.map(readDense)),
    ...(await readPooling(join(root, pooling.path, 'config.json'))),
    normalize: kinds.includes('Normalize'),
    ...(await readPrompts(join(root, promptsFile))),
    longestText: await readLongest(join(root, lengthFile)),
  };
}

/** The same into a folder, of a GGUF file: its pooling and its linear steps. */
export async function writeSentenceFiles({ pooling, dense }: EmbedDefaults, folder: string): Promise<void> {
  const kinds = ['Transformer', 'Pooling', ...dense.map(() => 'Dense'), 'Normalize'];
  const modules = kinds.map((kind, idx) => ({
    idx,
    name: String(idx),
    path: idx === 0 ? '' : `${idx}_${kind}`,
    type: `sentence_transformers.models.${kind}`,
  }));
  const pooling_mode = modes.find((mode) => poolingOf[mode] === pooling);
  for (const [i, step] of dense.entries()) await writePlainDense(step, join(folder, `${2 + i}_Dense`));
  await mkdir(join(folder, '1_Pooling'));
  await writeFile(join(folder, modulesFile), JSON.stringify(modules, null, 2));
  await writeFile(join(folder, '1_Pooling', 'config.json'), JSON.stringify({ pooling_mode }, null, 2));
}

/** Writes the same files into another folder; none where there is no modules.json. */
export async function copySentenceFiles(files: HfFolderFiles, folder: string): Promise<void> {
  if (!(await fileExists(join(files.root, modulesFile)))) return;
  const modules = parseConfig(modulesSchema, await readJsonValue(join(files.root, modulesFile)), modulesFile);
  const configs = modules.filter(({ path }) => path !== '').map(({ path }) => join(path, 'config.json'));
  for (const name of [modulesFile, promptsFile, lengthFile, ...configs]) {
    if (!(await fileExists(join(files.root, name)))) continue;
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), JSON.stringify(await readJsonValue(join(files.root, name)), null, 2));
  }
  for (const { path } of modules.filter(({ path, type }) => path !== '' && type.endsWith('.Dense'))) {
    await copyFile(join(files.root, path, denseWeights), join(folder, path, denseWeights));
  }
}

async function readPooling(
  path: string,
): Promise<Pick<EmbedDefaults, 'pooling' | 'includePrompt' | 'unsupported'>> {
  const config = await readJsonObject(path);
  const { pooling_mode: given, include_prompt: includePrompt } = parseConfig(poolingSchema, config, path);
  const flagged = modes.filter((_, i) => config[`pooling_mode_${flags[i]}`] === true);
  const [first = 'mean', ...others] = given === undefined ? flagged : [given].flat();
  const unsupported = others.length > 0 ? 'a pooling that puts several together' : undefined;
  return { pooling: poolingOf[first], includePrompt, unsupported };
}

async function readPrompts(path: string): Promise<Pick<EmbedDefaults, 'prompts' | 'defaultPrompt'>> {
  const config = (await fileExists(path)) ? await readJsonObject(path) : {};
  const { prompts, default_prompt_name } = parseConfig(promptsSchema, config, path);
  return { prompts: prompts ?? {}, defaultPrompt: default_prompt_name ?? undefined };
}

async function readLongest(path: string): Promise<number | undefined> {
  const config = (await fileExists(path)) ? await readJsonObject(path) : {};
  return parseConfig(lengthSchema, config, path).max_seq_length ?? undefined;
}
