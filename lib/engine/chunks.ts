/** Output of a run that nobody has read yet, and the chunks in which it is read. */
import type { GeneratedLogprob } from '../generation/logprobs.js';
import { addPiece, type OutputPiece } from '../output/pieces.js';

interface ChunkTokens {
  /** Ids behind this chunk. Text that is held back (half a character, what may be a stop string) comes later. */
  tokens: number[];
  /** One for each of `tokens`, when `logprobs` asked for them. */
  logprobs?: GeneratedLogprob[];
}

export interface TextChunk extends ChunkTokens {
  /** `reasoning`: thoughts before the answer. */
  type: 'text' | 'reasoning';
  /** Whole characters; '' only when many tokens brought no text. */
  text: string;
}

export interface ToolCallChunk extends ChunkTokens {
  type: 'tool-call';
  text: '';
  /** Of the call in the answer, from 0. */
  index: number;
  /** In the first chunk of a call, with its name; absent in those that follow. */
  id?: string;
  name?: string;
  /** More of the arguments' JSON; may be ''. */
  arguments: string;
}

export type GenerationChunk = TextChunk | ToolCallChunk;

/** Tokens without any output (special ones) go out at this number. */
const SILENT_TOKENS = 16;

export class UnreadOutput {
  #pieces: OutputPiece[] = [];
  #tokens: number[] = [];
  #logprobs: GeneratedLogprob[] = [];
  #characters = 0;

  get tokens(): number {
    return this.#tokens.length;
  }

  get characters(): number {
    return this.#characters;
  }

  add(pieces: readonly OutputPiece[], token?: number, logprob?: GeneratedLogprob): void {
    for (const piece of pieces) {
      addPiece(this.#pieces, piece);
      this.#characters += sizeOf(piece);
    }
    if (token !== undefined) this.#tokens.push(token);
    if (logprob) this.#logprobs.push(logprob);
  }

  clear(): void {
    this.#pieces = [];
    this.#tokens = [];
    this.#logprobs = [];
    this.#characters = 0;
  }

  /** What there is of one kind, with all the tokens; undefined: nothing yet. @param over no more comes */
  take(over: boolean): GenerationChunk | undefined {
    if (this.#pieces.length === 0 && this.#tokens.length < (over ? 1 : SILENT_TOKENS)) return undefined;
    const piece = this.#pieces.shift() ?? { type: 'text', text: '' };
    this.#characters -= sizeOf(piece);
    const tokens: ChunkTokens = { tokens: this.#tokens };
    if (this.#logprobs.length > 0) tokens.logprobs = this.#logprobs;
    this.#tokens = [];
    this.#logprobs = [];
    return piece.type === 'tool-call' ? { ...piece, text: '', ...tokens } : { ...piece, ...tokens };
  }
}

function sizeOf(piece: OutputPiece): number {
  return piece.type === 'tool-call' ? piece.arguments.length : piece.text.length;
}
