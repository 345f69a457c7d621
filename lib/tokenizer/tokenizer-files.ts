/** Reads `tokenizer.json` and its companions. Blocking work of tens of milliseconds: for the worker thread only. */
import { readFileSync } from 'node:fs';
import { KvasirError } from '../errors.js';
import { CheckedJson } from './checked-json.js';
import type {
  AddedTokenEntry,
  Component,
  NamedTemplate,
  SpecialTokens,
  TokenizerDefinition,
  TokenizerJson,
} from './definition.js';
import type { TokenizerSource } from './source.js';

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new KvasirError('MODEL_NOT_FOUND', `Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KvasirError('MODEL_FORMAT', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
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

function addedToken(token: CheckedJson, id = token.value.id): AddedTokenEntry {
  if (!Number.isSafeInteger(id) || (id as number) < 0) throw token.wrong('id', 'a whole number from 0 on');
  const content = token.text('content');
  if (content === '') throw token.wrong('content', 'a string with something in it');
  return {
    ...token.value,
    id: id as number,
    content,
    lstrip: token.flag('lstrip', false),
    rstrip: token.flag('rstrip', false),
    single_word: token.flag('single_word', false),
    special: token.flag('special', false),
    normalized: token.optionalFlag('normalized'),
  };
}

function templates(config: CheckedJson | undefined, path: string | undefined): NamedTemplate[] {
  const given = config?.value.chat_template ?? undefined;
  const listed: NamedTemplate[] =
    typeof given === 'string'
      ? [{ name: 'default', template: given }]
      : (config?.objects('chat_template') ?? []).map((one) => ({
          name: one.text('name'),
          template: one.text('template'),
        }));
  if (path === undefined) return listed;
  return [{ name: 'default', template: readText(path) }, ...listed.filter(({ name }) => name !== 'default')];
}

/** Those of tokenizer.json, with the flags that the configuration has for them, and then those that it alone has. */
function addedTokens(tokenizer: CheckedJson, config: CheckedJson | undefined): AddedTokenEntry[] {
  const tokens = new Map<string, AddedTokenEntry>();
  const add = (token: AddedTokenEntry): void => {
    tokens.set(token.content, token);
  };
  for (const token of tokenizer.objects('added_tokens')) add(addedToken(token));
  const more = config?.object('added_tokens_decoder');
  for (const id of Object.keys(more?.value ?? {})) add(addedToken(more!.object(id)!, Number(id)));
  return [...tokens.values()];
}

/** A token is given by its text, or by an object with its `content`. The first file that names it counts. */
function specialTokens(...files: (CheckedJson | undefined)[]): SpecialTokens {
  const text = (name: string): string | undefined => {
    const file = files.find((one) => (one?.value[name] ?? undefined) !== undefined);
    const given = file?.value[name];
    return file === undefined || typeof given === 'string'
      ? (given as string)
      : file.object(name)!.text('content');
  };
  return {
    bos: text('bos_token'),
    eos: text('eos_token'),
    unk: text('unk_token'),
    pad: text('pad_token'),
    sep: text('sep_token'),
    cls: text('cls_token'),
    mask: text('mask_token'),
  };
}

/** Old files have their special tokens here; those with `added_tokens_decoder` do not read it, as in the reference. */
function mappedTokens(path: string | undefined, config: CheckedJson | undefined): SpecialTokens {
  if (path === undefined || config?.value.added_tokens_decoder !== undefined) return {};
  const tokens = specialTokens(CheckedJson.of('special_tokens_map.json', readJson(path)));
  return Object.fromEntries(Object.entries(tokens).filter(([, token]) => token !== undefined));
}

/** Throws MODEL_NOT_FOUND or MODEL_FORMAT. */
export function definitionFromFiles(
  source: Extract<TokenizerSource, { kind: 'tokenizer-json' }>,
): TokenizerDefinition {
  const tokenizer = CheckedJson.of('tokenizer.json', readJson(source.path));
  const config =
    source.configPath === undefined
      ? undefined
      : CheckedJson.of('tokenizer_config.json', readJson(source.configPath));
  return {
    json: {
      added_tokens: addedTokens(tokenizer, config),
      normalizer: component(tokenizer, 'normalizer'),
      pre_tokenizer: component(tokenizer, 'pre_tokenizer'),
      post_processor: component(tokenizer, 'post_processor'),
      decoder: component(tokenizer, 'decoder'),
      model: typedModel(tokenizer),
    },
    specialTokens: { ...specialTokens(config), ...mappedTokens(source.specialTokensMapPath, config) },
    chatTemplates: templates(config, source.chatTemplatePath),
  };
}
