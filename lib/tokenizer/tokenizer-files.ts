/** Reads `tokenizer.json` and its companions. Blocking work of tens of milliseconds: for the worker thread only. */
import { basename, dirname, join } from 'node:path';
import { KvasirError } from '../errors.js';
import { parsePythonJson } from '../python-json.js';
import { readInPiecesSync, readRegularFileSync } from '../regular-file.js';
import { CheckedJson } from './checked-json.js';
import { compiledName } from './compiled-tables.js';
import type { Component, NamedTemplate, TokenizerDefinition, TokenizerJson } from './definition.js';
import { folderTokens } from './folder-tokens.js';
import { checkJsonSize } from './json-size.js';
import type { FolderSource } from './source.js';
import { parseCompiled, parseTokenizerJson } from './vocabulary-json.js';

/** Most bytes. A million tokens with merges are 100 MB; what stands beside has some megabytes at most. */
const largestTokenizer = 2 ** 28;
const largestTables = 2 ** 28;
const largestCompanion = 2 ** 24;
const largestTemplate = 2 ** 22;

function readTemplate(path: string): string {
  return readRegularFileSync(path, largestTemplate).toString();
}

function readJson(path: string, most: number, parse: (bytes: Buffer) => unknown): unknown {
  const bytes = readRegularFileSync(path, most);
  if (parse !== parseTokenizerJson) checkJsonSize(bytes);
  try {
    return parse(bytes);
  } catch (cause) {
    if (cause instanceof KvasirError) throw cause;
    throw new KvasirError('MODEL_FORMAT', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** A small file beside tokenizer.json, as Python wrote it. */
function companion(path: string | undefined): CheckedJson | undefined {
  return path === undefined
    ? undefined
    : CheckedJson.of(
        basename(path),
        readJson(path, largestCompanion, (bytes) => parsePythonJson(bytes.toString())),
      );
}

/** What the tables beside a `tokenizer.json` make of it. undefined: there are none that are its own. */
function readCompiled(path: string): unknown {
  let compiled: Buffer;
  try {
    compiled = readRegularFileSync(join(dirname(path), compiledName), largestTables);
  } catch {
    return undefined;
  }
  return readInPiecesSync(path, largestTokenizer, (text) => parseCompiled(compiled, text));
}

/** The type of a model is optional in old files; it shows in what the model has. */
function typedModel(tokenizer: CheckedJson): TokenizerJson['model'] {
  const model = tokenizer.object('model')?.value;
  if (model === undefined || !('vocab' in model)) throw tokenizer.wrong('model', 'an object with a vocab');
  if (typeof model.type === 'string') return model as TokenizerJson['model'];
  const type = 'merges' in model ? 'BPE' : Array.isArray(model.vocab) ? 'Unigram' : 'WordLevel';
  return { ...model, type, vocab: model.vocab };
}

function component(tokenizer: CheckedJson, name: string): Component | null {
  const node = tokenizer.object(name);
  if (node === undefined) return null;
  node.text('type');
  return node.value as Component;
}

/** Those in files of their own, or else those of the configuration, as in the reference. */
function templates(source: FolderSource, config: CheckedJson | undefined): NamedTemplate[] {
  const files: NamedTemplate[] = (source.namedTemplatePaths ?? []).map((path) => ({
    name: basename(path, '.jinja'),
    template: readTemplate(path),
  }));
  if (source.chatTemplatePath !== undefined) {
    files.unshift({ name: 'default', template: readTemplate(source.chatTemplatePath) });
  }
  if (files.length > 0) return files;
  const given = config?.value.chat_template ?? undefined;
  if (typeof given === 'string') return [{ name: 'default', template: given }];
  return (config?.objects('chat_template') ?? []).map((one) => ({
    name: one.text('name'),
    template: one.text('template'),
  }));
}

/** Throws MODEL_NOT_FOUND or MODEL_FORMAT. */
export function definitionFromFiles(source: FolderSource): TokenizerDefinition {
  const tokenizer = CheckedJson.of(
    'tokenizer.json',
    readCompiled(source.path) ?? readJson(source.path, largestTokenizer, parseTokenizerJson),
  );
  const config = companion(source.configPath);
  const { added, special } = folderTokens({
    tokenizer,
    config,
    specialTokensMap: companion(source.specialTokensMapPath),
    addedTokens: companion(source.addedTokensPath),
  });
  return {
    json: {
      added_tokens: added,
      normalizer: component(tokenizer, 'normalizer'),
      pre_tokenizer: component(tokenizer, 'pre_tokenizer'),
      post_processor: component(tokenizer, 'post_processor'),
      decoder: component(tokenizer, 'decoder'),
      model: typedModel(tokenizer),
    },
    specialTokens: special,
    chatTemplates: templates(source, config),
  };
}
