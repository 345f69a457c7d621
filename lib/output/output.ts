/** From tokens to pieces of an answer: as plain text, or read by a parser. */
import { type TokenDecoder, TextOutput } from '../generation/text.js';
import type { Answer } from './answer.js';
import type { OutputParser } from './parser.js';
import type { OutputPiece } from './pieces.js';

export interface Output {
  /** A stop string has come, or the format says that the answer is over. */
  readonly stopped: boolean;
  /** Absent: all is text. */
  readonly answer?: Answer;
  /** @param stopsWait stop strings that end here end nothing. */
  push(token: number, stopsWait: boolean): OutputPiece[];
  /** What was held back, once no token follows. */
  flush(stopsWait: boolean): OutputPiece[];
  /** Text that the answer begins with, before any token. */
  begin(text: string): OutputPiece[];
}

export class PlainOutput implements Output {
  readonly #text: TextOutput;

  constructor(decoder: TokenDecoder, stops: readonly string[]) {
    this.#text = new TextOutput(decoder, stops);
  }

  get stopped(): boolean {
    return this.#text.stopped;
  }

  push(token: number, stopsWait: boolean): OutputPiece[] {
    return textPieces(this.#text.push(token, stopsWait));
  }

  flush(stopsWait: boolean): OutputPiece[] {
    return textPieces(this.#text.flush(stopsWait));
  }

  begin(text: string): OutputPiece[] {
    return textPieces(text);
  }
}

export class ParsedOutput implements Output {
  readonly #decoder: TokenDecoder;
  readonly #parser: OutputParser;

  constructor(decoder: TokenDecoder, parser: OutputParser) {
    this.#decoder = decoder;
    this.#parser = parser;
  }

  get answer(): Answer {
    return this.#parser.answer;
  }

  get stopped(): boolean {
    return this.answer.stopped || this.answer.ended;
  }

  push(token: number, stopsWait: boolean): OutputPiece[] {
    this.answer.stopsWait = stopsWait;
    return this.#parser.push(this.#decoder.push(token), this.#decoder.unseen(token));
  }

  flush(stopsWait: boolean): OutputPiece[] {
    this.answer.stopsWait = stopsWait;
    return this.#parser.flush(this.#decoder.flush());
  }

  begin(text: string): OutputPiece[] {
    this.answer.stopsWait = true;
    return this.#parser.push(text, '');
  }
}

function textPieces(text: string): OutputPiece[] {
  return text === '' ? [] : [{ type: 'text', text }];
}
