/** Writes a tokenizer as the files of a Hugging Face folder, from which `tokenizer-files.ts` reads the same one. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { compiledName } from './compiled-tables.js';
import type { TokenizerDefinition } from './definition.js';
import { loadDefinition } from './load-definition.js';
import type { FolderSource, TokenizerSource } from './source.js';
import { compileTokenizerJson } from './vocabulary-json.js';

const namedTemplates = 'additional_chat_templates';

/**
 * Files are copied as they are; a GGUF vocabulary is written as its equivalent. Beside it the tables that it becomes. Blocks for
 * a large one's JSON.
 */
export async function writeTokenizerFiles(source: TokenizerSource, folder: string): Promise<void> {
  if (source.kind === 'gguf') await writeDefinition(await loadDefinition(source), folder);
  else await copyFiles(source, folder);
  const tables = compileTokenizerJson(await readFile(join(folder, 'tokenizer.json')));
  if (tables !== undefined) await writeFile(join(folder, compiledName), tables);
}

async function copyFiles(source: FolderSource, folder: string): Promise<void> {
  const named = source.namedTemplatePaths ?? [];
  const copies: [from: string | undefined, name: string][] = [
    [source.path, 'tokenizer.json'],
    [source.configPath, 'tokenizer_config.json'],
    [source.chatTemplatePath, 'chat_template.jinja'],
    [source.specialTokensMapPath, 'special_tokens_map.json'],
    [source.addedTokensPath, 'added_tokens.json'],
    ...named.map((path): [string, string] => [path, join(namedTemplates, basename(path))]),
  ];
  if (named.length > 0) await mkdir(join(folder, namedTemplates));
  for (const [from, name] of copies) if (from !== undefined) await copyFile(from, join(folder, name));
}

async function writeDefinition(definition: TokenizerDefinition, folder: string): Promise<void> {
  const { json, specialTokens, chatTemplates } = definition;
  const [only, ...others] = chatTemplates;
  const config = {
    bos_token: specialTokens.bos,
    eos_token: specialTokens.eos,
    unk_token: specialTokens.unk,
    pad_token: specialTokens.pad,
    chat_template: only?.name === 'default' && others.length === 0 ? only.template : chatTemplates,
  };
  const tokenizer = { version: '1.0', truncation: null, padding: null, ...json };
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(join(folder, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
}
