/** The public tokenizer of a model: text to ids and back, and chat templates. */
import { KvasirError } from '../errors.js';
import { boolean, integer, invalidOption, parseOptions, type Rule, reading, signal, text } from '../given.js';
import {
  type ChatMessage,
  type ChatTemplateOptions,
  checkMessages,
  checkMessagesInTurns,
  checkTemplateOptions,
  templateRules,
  unitsOf,
} from './chat-messages.js';
import { type Answer, type ChatJob, type EncodeJob, TokenizerClient } from './client.js';
import { chosenTemplate, type NamedTemplate } from './definition.js';
import type { ReadyMessage } from './protocol.js';
import { checkSource, type TokenizerSource } from './source.js';
import { StreamingDecoder, type StreamingDecoderOptions } from './streaming-decoder.js';
import { TokenTable } from './token-table.js';
import { allowedForChat, allowedForText } from './work-time.js';

export type { ChatMessage, ChatTemplateOptions } from './chat-messages.js';
export type { StreamingDecoder, StreamingDecoderOptions } from './streaming-decoder.js';

export interface TokensWithOffsets {
  ids: Int32Array;
  /** [tokens, 2] UTF-16 units of the text, from and to. */
  offsets: Int32Array;
}

export interface EncodeOptions {
  /** Add what the model's own tokenizer adds around a text (such as a leading BOS). Default true. */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave special tokens out of the text. Default true. */
  skipSpecialTokens?: boolean;
}

/** Only `Tokenizer.load` has it. */
const built = Symbol('built');

/**
 * In a raw string special tokens are parsed as the reference tokenizer does; inside the messages of a chat they never
 * are. Half a surrogate pair encodes as U+FFFD.
 */
export class Tokenizer {
  readonly #client: TokenizerClient;
  readonly #table: TokenTable;
  readonly #templates: readonly NamedTemplate[];
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** @internal What stands for what the vocabulary lacks, where its model names such a token. */
  readonly unknownTokenId: number | undefined;
  /** The end-of-text token and those that end a turn, known by the vocabulary; to be united with what the checkpoint declares. */
  readonly endTokenIds: readonly number[];
  readonly #longestText: number;
  readonly #unitsOfToken: number;
  #disposed: Promise<void> | undefined;

  private constructor(key: typeof built, client: TokenizerClient, ready: ReadyMessage) {
    if (key !== built) {
      throw new KvasirError('INVALID_OPTION', 'A Tokenizer is made by Model.load or Tokenizer.load.');
    }
    this.#client = client;
    this.#table = new TokenTable(ready.table);
    this.#templates = ready.chatTemplates;
    this.bosTokenId = ready.specialIds.bos;
    this.eosTokenId = ready.specialIds.eos;
    this.unknownTokenId = ready.specialIds.unknown;
    this.endTokenIds = ready.endTokenIds;
    this.#longestText = ready.longestText;
    this.#unitsOfToken = ready.unitsOfToken ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Builds the tokenizer on a worker thread, which afterwards keeps nothing alive while it is idle.
   * Rejects with MODEL_NOT_FOUND, MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE or the signal's reason.
   */
  static async load(source: TokenizerSource, options: { signal?: AbortSignal } = {}): Promise<Tokenizer> {
    const { signal } = parseOptions(loadRules, options, 'Tokenizer.load') as typeof options;
    const client = new TokenizerClient(checkSource(source), signal);
    const ready = await client.ready;
    if (ready.warning !== undefined) process.emitWarning(ready.warning, { type: 'KvasirWarning' });
    return new Tokenizer(built, client, ready);
  }

  /** Number of token ids, added tokens included. */
  get vocabSize(): number {
    return this.#table.size;
  }

  /** The model's chat template (Jinja), when it has one. */
  get chatTemplate(): string | undefined {
    const templates = this.#templates;
    return (templates.find(({ name }) => name === 'default') ?? templates[0])?.template;
  }

  /** The text of the template that these options choose; undefined: there is none. */
  chatTemplateOf({ template, tools }: Pick<ChatTemplateOptions, 'template' | 'tools'>): string | undefined {
    return chosenTemplate(this.#templates, { template, tools })?.template;
  }

  /** Ids of the special tokens, ascending. */
  get specialTokenIds(): number[] {
    return this.#table.specialIds();
  }

  /** Names of the model's chat templates, for the option `template`. */
  get chatTemplateNames(): string[] {
    return this.#templates.map(({ name }) => name);
  }

  /**
   * Blocks this thread until the worker thread has encoded the text, and whatever it was given before: about a second
   * per megabyte. In a server use `encodeAsync`. Throws DISPOSED, and LIMIT_EXCEEDED when the text takes more time or memory
   * than its length allows.
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const parsed = parseOptions(encodeRules, options, 'encode') as EncodeOptions;
    return idsOf(this.#client.askSync(this.#encodeJob(text, parsed)));
  }

  #encodeJob(text: string, { addSpecialTokens = true }: EncodeOptions, offsets = false): EncodeJob {
    checkText(text);
    if (text.length > this.#longestText) {
      throw new KvasirError(
        'LIMIT_EXCEEDED',
        `The text has ${text.length} characters; at most ${this.#longestText} are encoded at once. Encode it in parts.`,
      );
    }
    return { kind: 'encode', text, addSpecialTokens, offsets, allowed: allowedForText(text.length) };
  }

  /** On the worker thread. Rejects as `encode` throws, and with the signal's reason when aborted. */
  async encodeAsync(
    text: string,
    options: EncodeOptions & { signal?: AbortSignal } = {},
  ): Promise<Int32Array> {
    const rules = { ...encodeRules, signal };
    const { signal: given, ...parsed } = parseOptions(rules, options, 'encodeAsync') as typeof options;
    return idsOf(await this.#client.ask(this.#encodeJob(text, parsed), given));
  }

  /**
   * As `encodeAsync`, with where each token stands in the text: offsets [tokens, 2], UTF-16 units from and to. Tokens that
   * are not of the text are at 0, 0. Tokens that share a character have the same offsets.
   */
  async encodeWithOffsets(
    text: string,
    options: EncodeOptions & { signal?: AbortSignal } = {},
  ): Promise<TokensWithOffsets> {
    const rules = { ...encodeRules, signal };
    const { signal: given, ...parsed } = parseOptions(rules, options, 'encodeWithOffsets') as typeof options;
    const answer = await this.#client.ask(this.#encodeJob(text, parsed, true), given);
    if (answer.kind === 'encoded' && answer.offsets) return { ids: answer.ids, offsets: answer.offsets };
    throw new KvasirError('INTERNAL', 'The tokenizer thread gave no offsets.');
  }

  /** Two texts as the model's own tokenizer puts them together, and which of both each token belongs to: types [tokens]. */
  async encodePair(
    first: string,
    second: string,
    options: { signal?: AbortSignal } = {},
  ): Promise<{ ids: Int32Array; types: Int32Array }> {
    const { signal: given } = parseOptions({ signal }, options, 'encodePair') as typeof options;
    const job = this.#encodeJob(first, {});
    const { text, allowed } = this.#encodeJob(second, {});
    const both = { ...job, second: text, allowed: job.allowed + allowed };
    const answer = await this.#client.ask(both, given);
    if (answer.kind === 'encoded' && answer.typeIds) return { ids: answer.ids, types: answer.typeIds };
    throw new KvasirError('INTERNAL', 'The tokenizer thread gave no pair.');
  }

  /** At least so many tokens has the text, as its length alone tells; 0 where that tells nothing. */
  leastTokens(text: string): number {
    checkText(text);
    return this.#unitsOfToken === Number.POSITIVE_INFINITY ? 0 : Math.ceil(text.length / this.#unitsOfToken);
  }

  /** Number of tokens that `encodeAsync` gives. */
  async count(text: string, options: EncodeOptions & { signal?: AbortSignal } = {}): Promise<number> {
    return (await this.encodeAsync(text, options)).length;
  }

  /** The text of tokens; bytes that are no UTF-8 become U+FFFD. Throws INVALID_OPTION for an id that is none. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const { skipSpecialTokens = true } = parseOptions(decodeRules, options, 'decode') as DecodeOptions;
    return reading('The ids', () => {
      if (typeof ids !== 'object' || !Number.isInteger(ids?.length) || ids.length < 0)
        throw invalidOption('ids', ids, 'a list of token ids');
      return this.#table.decode(ids, skipSpecialTokens);
    });
  }

  /** @internal As the vocabulary has it: 'Ġking', '##ing'; '' for an id between others that is none. */
  tokenSpelling(id: number): string {
    return this.#table.spellingOf(id);
  }

  /**
   * Text of one token by itself, U+FFFD where it is part of a character; special tokens give their spelling. Throws
   * INVALID_OPTION for an id that is none, as the next ones do.
   */
  tokenText(id: number): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.#table.bytesOf(id));
  }

  /** Bytes that one token adds to a text; do not write to them. */
  tokenBytes(id: number): Uint8Array {
    return this.#table.bytesOf(id);
  }

  /** @internal The same, and not kept; undefined where a token reads otherwise beside others. */
  ownBytes(id: number): Uint8Array | undefined {
    return this.#table.ownBytes(id);
  }

  isSpecial(id: number): boolean {
    this.#table.checkId(id);
    return this.#table.isSpecial(id);
  }

  /**
   * Text of tokens that come one by one. `after` is the last token before them (the prompt's last): without it, or when
   * it is special, a text begins, and the space that SentencePiece puts before a text is dropped, as `decode` does.
   */
  createStreamingDecoder(options: StreamingDecoderOptions = {}): StreamingDecoder {
    const parsed = parseOptions(streamRules(this.vocabSize), options, 'createStreamingDecoder');
    return new StreamingDecoder(this.#table, parsed as StreamingDecoderOptions);
  }

  /**
   * The conversation as text. To encode it use `encodeChat`: text cannot tell a special token from its spelling. Blocks
   * this thread as `encode` does. Throws INVALID_OPTION when the model has no template, or the template refuses or leaves
   * out what it is given; LIMIT_EXCEEDED when it takes too much.
   */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    const checked = checkMessages(messages);
    return textOf(this.#client.askSync(chatJob(checked, checkTemplateOptions(options), 'text')));
  }

  /** The same on the worker thread. Rejects as `applyChatTemplate` throws, and with the signal's reason when aborted. */
  async applyChatTemplateAsync(
    messages: readonly ChatMessage[],
    given: ChatTemplateOptions & { signal?: AbortSignal } = {},
  ): Promise<string> {
    const { signal, ...options } = parseOptions(chatRules, given, 'applyChatTemplateAsync') as typeof given;
    const checked = await checkMessagesInTurns(messages, signal);
    return textOf(await this.#client.ask(chatJob(checked, options, 'text'), signal));
  }

  /**
   * The conversation as token ids, on the worker thread. Special tokens spelled inside messages and tools are plain
   * text. Rejects as `applyChatTemplate` and `encodeAsync` do.
   */
  async encodeChat(
    messages: readonly ChatMessage[],
    given: ChatTemplateOptions & { signal?: AbortSignal } = {},
  ): Promise<Int32Array> {
    const { signal, ...options } = parseOptions(chatRules, given, 'encodeChat') as typeof given;
    const checked = await checkMessagesInTurns(messages, signal);
    return idsOf(await this.#client.ask(chatJob(checked, options, 'ids'), signal));
  }

  /** Ends the worker thread; encodings under way reject with DISPOSED. Idempotent. `decode` goes on working. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#client.dispose();
    return this.#disposed;
  }
}

const loadRules = { signal } satisfies Record<string, Rule>;
const encodeRules = { addSpecialTokens: boolean } satisfies Record<keyof EncodeOptions, Rule>;
const decodeRules = { skipSpecialTokens: boolean } satisfies Record<keyof DecodeOptions, Rule>;
const chatRules = { ...templateRules, signal } satisfies Record<string, Rule>;

function streamRules(vocabSize: number): Record<keyof StreamingDecoderOptions, Rule> {
  return { skipSpecialTokens: boolean, after: integer(0, vocabSize - 1) };
}

/** Throws INVALID_OPTION: callers in JavaScript give anything. */
function checkText(given: unknown): void {
  if (!text.fits(given)) throw invalidOption('text', given, text.allowed);
}

/** UTF-16 units. */
const longestConversation = 2 ** 26;

/** Throws LIMIT_EXCEEDED. */
function chatJob(
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions,
  wanted: ChatJob['wanted'],
): ChatJob {
  let units = 0;
  for (const message of messages) units += unitsOf(message);
  if (units > longestConversation) {
    throw new KvasirError(
      'LIMIT_EXCEEDED',
      `The conversation has ${units} characters; at most ${longestConversation} are supported.`,
    );
  }
  const allowed = allowedForChat(messages.length, units);
  return { kind: 'chat', messages, options, wanted, allowed };
}

/** The worker answers with what it was asked for. */
function idsOf(answer: Answer): Int32Array {
  if (answer.kind === 'encoded') return answer.ids;
  throw new KvasirError('INTERNAL', 'The tokenizer thread gave text for tokens.');
}

function textOf(answer: Answer): string {
  if (answer.kind === 'rendered') return answer.text;
  throw new KvasirError('INTERNAL', 'The tokenizer thread gave tokens for text.');
}
