/** How a model writes calls: what every format of lib/output/formats/ is made of. */
import type { CallSyntax, Marker, MessageSyntax } from '../structure/answer-shape.js';
import type { Answer } from './answer.js';
import type { Reader, Reading } from './reader.js';

/** Calls of an earlier turn as a model writes them. */
export type CallWriter = (calls: readonly WrittenCall[]) => string;

/** A call of an earlier turn. */
export interface WrittenCall {
  name: string;
  arguments: Readonly<Record<string, unknown>>;
}

/** Where a format reads from and reports to. */
export interface Source {
  reader: Reader;
  answer: Answer;
  /** The text of the answer is what `responseFormat` asks for: no marker is looked for in it. */
  isStructured: boolean;
}

/** A tool as formats see it. */
export interface ToolShape {
  name: string;
  /** JSON Schema of its arguments. */
  parameters?: unknown;
}

/** What a format is built for: a vocabulary, the tools of the request, and how the prompt ends. */
export interface FormatContext {
  /** A marker as it comes in coded text. */
  coded(marker: string): string;
  /** A marker as a grammar has it. */
  marker(marker: string): Marker;
  tools: readonly ToolShape[];
  /** Thoughts are told apart; else they are text. */
  tellsReasoning: boolean;
  /** The prompt's last tokens, special ones spelled. */
  promptEnd: string;
}

export interface CallFormat {
  /** Coded markers that begin calls, wherever they stand. */
  openers: readonly string[];
  /** Coded markers that stand around text and are no part of it. */
  ignored?: readonly string[];
  /** Reads calls after a marker; what turns out to be none goes to the answer as text. */
  calls(source: Source, opener: string): Reading<void>;
  /** Reads calls that need no marker where an answer begins, or its text after reasoning. */
  start?(source: Source): Reading<void>;
  /** Reads the whole answer, reasoning too. */
  whole?(source: Source): Reading<void>;
  /** How a call is written: so it is enforced. */
  syntax: CallSyntax;
  /** The answer is a list of messages. */
  messages?: MessageSyntax;
  /** Special tokens that end a turn elsewhere, but not an answer of this format. */
  goesOnAfter?: readonly string[];
}

/** Builds a format. */
export type FormatMaker = (context: FormatContext) => CallFormat;
