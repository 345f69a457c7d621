/** What the tokenizer's threads say to each other. */
import type { MessagePort } from 'node:worker_threads';
import type { ContentMarks } from './content-marks.js';
import type { NamedTemplate, SpecialTokens } from './definition.js';
import type { TextSegment } from './segments.js';
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
  marks?: ContentMarks;
  /** A rendered chat, in place of the text. */
  segments?: readonly TextSegment[];
  /** [1] 1: give up. */
  stop?: SharedArrayBuffer;
  /** The caller sleeps until `wake` changes. */
  synchronous?: true;
}

/** First of all, and first after a `close`: builds the tokenizer. */
export interface OpenRequest {
  kind: 'open';
  source: TokenizerSource;
}

export type ThreadRequest =
  | OpenRequest
  /** Drops the tokenizer; sent when everything before has been answered. */
  | { kind: 'close' }
  /** Where answers to synchronous requests go; before the first of them. */
  | { kind: 'replies'; port: MessagePort }
  | EncodeRequest;

/** An error as plain data; `code` is that of a KvasirError. */
export interface SentError {
  code: string;
  message: string;
}

/** What the main thread needs once the tokenizer stands. */
export interface ReadyMessage {
  kind: 'ready';
  table: TokenTableData;
  specialTokens: SpecialTokens;
  specialIds: { bos?: number; eos?: number };
  /** Spellings of all special tokens. */
  specialSpellings: string[];
  endTokenIds: number[];
  chatTemplates: NamedTemplate[];
  warning?: string;
}

export type EncodeReply =
  | { kind: 'encoded'; id: number; ids: Int32Array }
  | { kind: 'stopped'; id: number }
  | { kind: 'failed'; id: number; error: SentError };

export type WorkerMessage =
  | ReadyMessage
  | { kind: 'broken'; error: SentError }
  | EncodeReply
  /** The tokenizer is gone. `collected`: so is its memory, and the thread may have another. */
  | { kind: 'closed'; collected: boolean };
