/**
 * Keys from the terminal with what was pasted kept in one piece: a line break within a paste becomes a visible mark, which the
 * line editor takes for a character; `pastedText` turns it back. Terminals that know bracketed paste say where one begins and
 * ends, once `bracketedPaste.on` was written to them.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { ReadStream } from 'node:tty';

export const bracketedPaste = { on: '\u001b[?2004h', off: '\u001b[?2004l' } as const;

const begin = '\u001b[200~';
const end = '\u001b[201~';
/** Shown for a line break in a paste. */
const mark = '\u23ce';

/** What was typed and pasted, with its line breaks. */
export function pastedText(line: string): string {
  return line.replaceAll(mark, '\n');
}

export class PasteInput extends Transform {
  readonly #terminal: ReadStream;
  readonly #decoder = new StringDecoder('utf8');
  #pasting = false;
  /** The beginning of what may be one of the two sequences. */
  #held = '';

  constructor(terminal: ReadStream) {
    super({ decodeStrings: true });
    this.#terminal = terminal;
    terminal.pipe(this);
  }

  get isTTY(): boolean {
    return this.#terminal.isTTY;
  }

  setRawMode(raw: boolean): this {
    this.#terminal.setRawMode(raw);
    return this;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    done(null, this.#take(this.#decoder.write(chunk)));
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#held);
  }

  #take(text: string): string {
    let rest = this.#held + text;
    let keys = '';
    for (;;) {
      const awaited = this.#pasting ? end : begin;
      const at = rest.indexOf(awaited);
      if (at < 0) break;
      keys += this.#visible(rest.slice(0, at));
      rest = rest.slice(at + awaited.length);
      this.#pasting = !this.#pasting;
    }
    const held = heldBack(rest, this.#pasting ? end : begin);
    this.#held = rest.slice(rest.length - held);
    return keys + this.#visible(rest.slice(0, rest.length - held));
  }

  /** In a paste no character is a key: a tab completes nothing, an escape begins no sequence. */
  #visible(text: string): string {
    if (!this.#pasting) return text;
    return text
      .replace(/\r\n?|\n/g, mark)
      .replaceAll('\t', '  ')
      .replace(/\p{Cc}/gu, '');
  }
}

/** How much of the end of a text may begin the sequence; a lone escape is a key. */
function heldBack(text: string, sequence: string): number {
  for (let length = Math.min(sequence.length - 1, text.length); length > 1; --length) {
    if (sequence.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}
