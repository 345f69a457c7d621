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

function addedToken(token: CheckedJson): AddedTokenEntry {
  const { id } = token.value;
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

/** A token is given by its text, or by an object with its `content`. */
function specialTokens(config: CheckedJson | undefined): SpecialTokens {
  const text = (name: string): string | undefined => {
    const given = config?.value[name];
    if (config === undefined || given === undefined || given === null) return undefined;
    return typeof given === 'string' ? given : config.object(name)!.text('content');
  };
  return { bos: text('bos_token'), eos: text('eos_token'), unk: text('unk_token'), pad: text('pad_token') };
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
      added_tokens: tokenizer.objects('added_tokens').map(addedToken),
      normalizer: component(tokenizer, 'normalizer'),
      pre_tokenizer: component(tokenizer, 'pre_tokenizer'),
      post_processor: component(tokenizer, 'post_processor'),
      decoder: component(tokenizer, 'decoder'),
      model: typedModel(tokenizer),
    },
    specialTokens: specialTokens(config),
    chatTemplates: templates(config, source.chatTemplatePath),
  };
}
