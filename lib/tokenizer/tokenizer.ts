/** The public tokenizer of a model: text to ids and back, and chat templates. */
import { KvasirError } from '../errors.js';
import type { TokenizerSource } from './source.js';

/** One message of a conversation, as chat templates read it. */
export interface ChatMessage {
  role: string;
  content: string | null | { type: string; text?: string }[];
  [field: string]: unknown;
}

export interface EncodeOptions {
  /** Add what the model's own tokenizer adds around a text (such as a leading BOS). Default true. */
  addSpecialTokens?: boolean;
}

export interface ChatTemplateOptions {
  /** JSON-schema tool definitions, handed to the template as `tools`. */
  tools?: readonly unknown[];
  /** Open the assistant's turn at the end. Default true. */
  addGenerationPrompt?: boolean;
}

export interface DecodeOptions {
  /** Leave special tokens out of the text. Default true. */
  skipSpecialTokens?: boolean;
}

export interface StreamingDecoder {
  /** Text that is complete after this token: never half a character. May be ''. */
  push(tokenId: number): string;
  /** The rest, with U+FFFD for an unfinished character. */
  flush(): string;
}

export class Tokenizer {
  /** Starts the worker that builds the tokenizer; resolves when it is ready. The worker never keeps the process alive. */
  static async load(_source: TokenizerSource, _options: { signal?: AbortSignal } = {}): Promise<Tokenizer> {
    throw new KvasirError('INTERNAL', 'The tokenizer is not there yet.');
  }

  /** Number of token ids, added tokens included. */
  readonly vocabSize: number = 0;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** Tokens that end a turn, known by the vocabulary; to be united with `GenerationDefaults.eosTokenIds`. */
  readonly endTokenIds: readonly number[] = [];
  /** The model's chat template (Jinja), when it has one. */
  readonly chatTemplate: string | undefined;

  /** Synchronous: builds the tokenizer on this thread at first use (0.2 to 0.4 s at 49k tokens). May block. */
  encode(_text: string, _options: EncodeOptions = {}): Int32Array {
    return new Int32Array();
  }
  /** On the worker thread. Rejects with the signal's reason when aborted. */
  async encodeAsync(
    _text: string,
    _options: EncodeOptions & { signal?: AbortSignal } = {},
  ): Promise<Int32Array> {
    return new Int32Array();
  }
  /** Number of tokens that `encodeAsync` gives. */
  async count(_text: string, _options: EncodeOptions & { signal?: AbortSignal } = {}): Promise<number> {
    return 0;
  }
  decode(_ids: ArrayLike<number>, _options: DecodeOptions = {}): string {
    return '';
  }
  /** Text of one token by itself, U+FFFD where it is part of a character; special tokens give their name. */
  tokenText(_id: number): string {
    return '';
  }
  /** Bytes of one token; do not write to them. */
  tokenBytes(_id: number): Uint8Array {
    return new Uint8Array();
  }
  isSpecial(_id: number): boolean {
    return false;
  }
  /**
   * `after`: the last token before the stream (the prompt's last). Without it, or when it is special, the text starts
   * fresh: the leading space that SentencePiece adds is dropped, as `decode` does.
   */
  createStreamingDecoder(_options: DecodeOptions & { after?: number } = {}): StreamingDecoder {
    return { push: () => '', flush: () => '' };
  }
  /** The prompt as text. To encode a conversation use `encodeChat`: text cannot tell a special token from its spelling. */
  applyChatTemplate(_messages: readonly ChatMessage[], _options: ChatTemplateOptions = {}): string {
    return '';
  }
  /** Template and encoding in one; special tokens inside messages stay plain text. On the worker thread. */
  async encodeChat(
    _messages: readonly ChatMessage[],
    _options: ChatTemplateOptions & { signal?: AbortSignal } = {},
  ): Promise<Int32Array> {
    return new Int32Array();
  }
  /** Ends the worker; pending encodings reject with DISPOSED. Idempotent. `decode` goes on working. */
  async dispose(): Promise<void> {}
}
