/**
 * The tokens that a model folder names: in tokenizer.json and beside it in tokenizer_config.json, special_tokens_map.json and
 * added_tokens.json, joined in the order of the reference. Ids of tokens that are not in the vocabulary follow that order.
 */
import { CheckedJson } from './checked-json.js';
import type { AddedTokenEntry, SpecialTokens } from './definition.js';

export interface TokenFiles {
  tokenizer: CheckedJson;
  config: CheckedJson | undefined;
  /** Old files, which the reference reads only beside a configuration without `added_tokens_decoder`. */
  specialTokensMap: CheckedJson | undefined;
  addedTokens: CheckedJson | undefined;
}

export interface FolderTokens {
  added: AddedTokenEntry[];
  special: SpecialTokens;
}

/** In the order in which those that are new get their ids. */
const named = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'] as const;
const isNamed = (key: string): boolean => named.some((name) => key === `${name}_token`);

/** Throws MODEL_FORMAT. */
export function folderTokens(files: TokenFiles): FolderTokens {
  const { tokenizer, config } = files;
  const decoder = config?.object('added_tokens_decoder');
  const map = decoder === undefined ? files.specialTokensMap : undefined;
  const specials = new Specials(map, config);
  const added = new Map<string, AddedTokenEntry>();
  const add = (token: AddedTokenEntry): void => {
    added.set(token.content, token);
  };
  const own = tokenizer.objects('added_tokens').map((token) => addedToken(token));
  for (const token of own) add(token);
  if (decoder !== undefined) for (const token of decoded(decoder)) add(token);
  else if (files.addedTokens !== undefined) {
    const ids = new Set(own.map(({ id }) => id));
    for (const token of oldTokens(files.addedTokens, specials)) if (!ids.has(token.id)) add(token);
  }
  for (const token of specials.tokens()) if (!added.has(token.content)) add(token);
  return { added: [...added.values()], special: specials.names() };
}

function addedToken(token: CheckedJson, id = token.value.id): AddedTokenEntry {
  if (!Number.isSafeInteger(id) || (id as number) < 0) throw token.wrong('id', 'a whole number from 0 on');
  const content = token.text('content');
  if (content === '') throw token.wrong('content', 'a string with something in it');
  return {
    id: id as number,
    content,
    lstrip: token.flag('lstrip', false),
    rstrip: token.flag('rstrip', false),
    single_word: token.flag('single_word', false),
    special: token.flag('special', false),
    normalized: token.optionalFlag('normalized'),
  };
}

const byId = (a: AddedTokenEntry, b: AddedTokenEntry): number => a.id - b.id;

/** `added_tokens_decoder`: ids to tokens. */
function decoded(decoder: CheckedJson): AddedTokenEntry[] {
  return Object.keys(decoder.value)
    .map((id) => addedToken(decoder.object(id)!, Number(id)))
    .sort(byId);
}

/** added_tokens.json: tokens to ids. */
function oldTokens(file: CheckedJson, specials: Specials): AddedTokenEntry[] {
  const special = new Set(specials.tokens().map(({ content }) => content));
  return Object.entries(file.value)
    .map(([content, id]): AddedTokenEntry => {
      if (!Number.isSafeInteger(id) || content === '') throw file.wrong(content, 'a whole number');
      return plainToken(content, id as number, special.has(content));
    })
    .sort(byId);
}

function plainToken(content: string, id: number, special: boolean): AddedTokenEntry {
  return { id, content, lstrip: false, rstrip: false, single_word: false, special, normalized: !special };
}

/** Whether anything is given: an empty text is none. */
const isGiven = (value: unknown): boolean => (value ?? '') !== '';

/** Tokens with a name, and those that are special without one. */
class Specials {
  readonly #named = new Map<string, AddedTokenEntry>();
  readonly #extra: AddedTokenEntry[];

  constructor(map: CheckedJson | undefined, config: CheckedJson | undefined) {
    const files = [map, config].filter((file) => file !== undefined);
    for (const key of named.map((name) => `${name}_token`)) {
      const file = files.find((one) => isGiven(one.value[key]));
      if (file !== undefined) this.#named.set(key, specialToken(file, key, file.value[key]));
    }
    // Of names that are this model's own the configuration's token counts.
    for (const file of files) for (const [key, token] of ownNames(file)) this.#named.set(key, token);
    const ours = listed(config, 'extra_special_tokens') ?? listed(config, 'additional_special_tokens') ?? [];
    const more = listed(map, 'extra_special_tokens') ?? [];
    if (ours.length + more.length > 0) this.#extra = [...ours, ...more];
    else this.#extra = listed(map, 'additional_special_tokens') ?? [];
  }

  /** In the order in which those that are new get their ids. */
  tokens(): AddedTokenEntry[] {
    return [...this.#named.values(), ...this.#extra];
  }

  names(): SpecialTokens {
    const contents = [...this.#named].map(([key, { content }]): [string, string] => [key, content]);
    return {
      ...Object.fromEntries(named.map((name) => [name, this.#named.get(`${name}_token`)?.content])),
      others: Object.fromEntries(contents.filter(([key]) => !isNamed(key))),
    };
  }
}

/** A token is given by its text, or by an object with its `content`. Its id is the vocabulary's business. */
function specialToken(file: CheckedJson, path: string, given: unknown): AddedTokenEntry {
  if (typeof given === 'string') return plainToken(given, 0, true);
  return { ...addedToken(CheckedJson.of(file.file, given, path), 0), special: true };
}

/** `image_token` and the like, and the names of an `extra_special_tokens` that is an object. */
function* ownNames(file: CheckedJson): Iterable<[string, AddedTokenEntry]> {
  const isToken = (value: unknown): boolean =>
    typeof value === 'string' || (typeof value === 'object' && value !== null && 'content' in value);
  for (const [key, value] of Object.entries(file.value)) {
    if (!key.endsWith('_token') || isNamed(key) || !isGiven(value) || !isToken(value)) continue;
    yield [key, specialToken(file, key, value)];
  }
  const given = file.value.extra_special_tokens;
  if (Array.isArray(given)) return;
  for (const [key, value] of Object.entries(file.object('extra_special_tokens')?.value ?? {})) {
    yield [key, specialToken(file, `extra_special_tokens.${key}`, value)];
  }
}

/** The tokens of a list; undefined where there is none. */
function listed(file: CheckedJson | undefined, name: string): AddedTokenEntry[] | undefined {
  const given = file?.value[name];
  if (file === undefined || !Array.isArray(given) || given.length === 0) return undefined;
  return given.filter(isGiven).map((one, i) => specialToken(file, `${name}.${i}`, one));
}
