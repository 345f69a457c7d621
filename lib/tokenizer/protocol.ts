/** What the tokenizer's threads say to each other. */
import type { MessagePort } from 'node:worker_threads';
import type { ChatMessage, ChatTemplateOptions } from './chat-messages.js';
import type { NamedTemplate } from './definition.js';
import type { TokenizerSource } from './source.js';
import type { TokenTableData } from './token-table.js';

export interface WorkerStart {
  /** Int32 [4], see `Shared`. */
  shared: SharedArrayBuffer;
}

/** What the threads share without messages. */
export const Shared = {
  /** Counts the answers to synchronous requests; the caller sleeps on it. */
  answers: 0,
  /** The worker's thread, as Linux numbers it; 0: not known. */
  thread: 1,
  /** The request that it works on; `idle` or `opening`. */
  current: 2,
  /** 1: the thread is to end. It gives up what it works on, and begins nothing more. */
  ending: 3,
} as const;
export const idle = 0;
export const opening = -1;

/** A piece of a request that comes later: of a long text, or of a long conversation. */
export interface PartRequest {
  kind: 'part';
  id: number;
  part: string | readonly ChatMessage[];
}

export interface EncodeRequest {
  kind: 'encode';
  /** From 1 on. */
  id: number;
  /** What follows its parts. */
  text: string;
  addSpecialTokens: boolean;
  /** The answer says where each token stands in the text. */
  offsets: boolean;
  /** The other text of a pair; the answer says which of both each token belongs to. */
  second?: string;
  /** [1] 1: give up. */
  stop?: SharedArrayBuffer;
  /** The caller sleeps until `answers` changes. */
  synchronous?: true;
}

/** Renders a conversation, for its text or for its tokens. Messages and options are plain data. */
export interface ChatRequest {
  kind: 'chat';
  id: number;
  /** What follows its parts. */
  messages: readonly ChatMessage[];
  options: ChatTemplateOptions;
  wanted: 'text' | 'ids';
  stop?: SharedArrayBuffer;
  synchronous?: true;
}

/** What gets an answer of its own. */
export type Request = EncodeRequest | ChatRequest;

/** First of all: builds the tokenizer. */
export interface OpenRequest {
  kind: 'open';
  source: TokenizerSource;
}

export type ThreadRequest =
  | OpenRequest
  /** Where answers to synchronous requests go; before the first of them. */
  | { kind: 'replies'; port: MessagePort }
  | PartRequest
  /** The request whose parts these were does not come. */
  | { kind: 'forget'; id: number }
  /** The last one: the thread ends when it has been quiet. */
  | { kind: 'end' }
  | Request;

/** An error as plain data; `code` is that of a KvasirError. */
export interface SentError {
  code: string;
  message: string;
}

/** What the main thread needs once the tokenizer stands. */
export interface ReadyMessage {
  kind: 'ready';
  table: TokenTableData;
  specialIds: { bos?: number; eos?: number; unknown?: number };
  endTokenIds: number[];
  chatTemplates: NamedTemplate[];
  warning?: string;
  /** UTF-16 units of the longest text that it takes. */
  longestText: number;
  /** No token stands for more UTF-16 units of a text than this. Absent: some may. */
  unitsOfToken?: number;
}

export type Reply =
  /** offsets: [tokens, 2] UTF-16 units, where they were asked for. typeIds: [tokens], of a pair. */
  | { kind: 'encoded'; id: number; ids: Int32Array; offsets?: Int32Array; typeIds?: Int32Array }
  | { kind: 'rendered'; id: number; text: string }
  | { kind: 'stopped'; id: number }
  | { kind: 'failed'; id: number; error: SentError };

export type WorkerMessage = ReadyMessage | { kind: 'broken'; error: SentError } | Reply;
