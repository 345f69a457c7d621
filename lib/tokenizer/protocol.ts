/** What the tokenizer's threads say to each other. */
import type { MessagePort } from 'node:worker_threads';
import type { ChatMessage, ChatTemplateOptions } from './chat-messages.js';
import type { NamedTemplate } from './definition.js';
import type { TokenizerSource } from './source.js';
import type { TokenTableData } from './token-table.js';

export interface WorkerStart {
  /** [1] counts the answers to synchronous requests; the caller sleeps on it. */
  wake: SharedArrayBuffer;
}

export interface EncodeRequest {
  kind: 'encode';
  id: number;
  text: string;
  addSpecialTokens: boolean;
  /** [1] 1: give up. */
  stop?: SharedArrayBuffer;
  /** The caller sleeps until `wake` changes. */
  synchronous?: true;
}

/** Renders a conversation, for its text or for its tokens. Messages and options are plain data. */
export interface ChatRequest {
  kind: 'chat';
  id: number;
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
  specialIds: { bos?: number; eos?: number };
  endTokenIds: number[];
  chatTemplates: NamedTemplate[];
  warning?: string;
}

export type Reply =
  | { kind: 'encoded'; id: number; ids: Int32Array }
  | { kind: 'rendered'; id: number; text: string }
  | { kind: 'stopped'; id: number }
  | { kind: 'failed'; id: number; error: SentError };

export type WorkerMessage = ReadyMessage | { kind: 'broken'; error: SentError } | Reply;
