/**
 * Messages from the person at the terminal, or from a pipe. Between messages the terminal is as the shell left it, so that
 * Ctrl-C is a signal and a program that dies leaves nothing behind.
 */
import { createInterface, type Interface } from 'node:readline';
import { readHistory, writeHistory } from './chat-history.js';
import type { Interrupts } from './interrupt.js';
import { bracketedPaste, PasteInput, pastedText } from './paste.js';

/** A line of these alone begins a message of several lines, and ends it. */
const block = '"""';

export class Lines {
  readonly #readline: Interface;
  readonly #interactive: boolean;
  readonly #interrupts: Interrupts;
  readonly #input: PasteInput | undefined;
  #history: string[];
  #queue: string[] = [];
  #closed = false;
  #waiting: (() => void) | undefined;

  constructor(interrupts: Interrupts) {
    this.#interrupts = interrupts;
    this.#interactive = process.stdin.isTTY === true && process.stderr.isTTY === true;
    this.#input = this.#interactive ? new PasteInput(process.stdin) : undefined;
    this.#history = this.#interactive ? readHistory() : [];
    this.#readline = createInterface({
      input: this.#input ?? process.stdin,
      // The prompt is no data.
      output: this.#interactive ? process.stderr : undefined,
      terminal: this.#interactive,
      history: [...this.#history],
    });
    this.#readline.on('history', (lines) => {
      this.#history = lines;
    });
    this.#readline.on('line', (line) => {
      this.#queue.push(line);
      this.#wake();
    });
    this.#readline.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
    this.#readline.on('SIGINT', () => this.#onInterrupt());
    interrupts.signal.addEventListener('abort', () => this.close(), { once: true });
    this.#rest();
  }

  /** Somebody types. */
  get interactive(): boolean {
    return this.#interactive;
  }

  /**
   * The next message: a line, lines of which all but the last end with a backslash, or what stands between two lines of
   * """. Undefined at the end of the input or after Ctrl-C.
   */
  async next(prompt: string): Promise<string | undefined> {
    const first = await this.#line(prompt);
    if (first === undefined) return undefined;
    if (first.trimStart().startsWith(block)) return this.#block(first.trimStart().slice(block.length));
    let message = first;
    while (message.endsWith('\\')) {
      const more = await this.#line('. ');
      message = `${message.slice(0, -1)}\n${more ?? ''}`;
      if (more === undefined) break;
    }
    return message;
  }

  close(): void {
    if (!this.#closed) this.#readline.close();
    if (!this.#interactive) return;
    // Nobody waits for keys any more.
    process.stdin.unpipe(this.#input);
    process.stdin.pause();
    writeHistory(this.#history);
  }

  async #block(first: string): Promise<string | undefined> {
    const lines: string[] = [];
    for (let line: string | undefined = first; line !== undefined; line = await this.#line('. ')) {
      const end = line.trimEnd();
      if (end.endsWith(block)) {
        lines.push(end.slice(0, -block.length));
        break;
      }
      lines.push(line);
    }
    return this.#interrupts.signal.aborted ? undefined : lines.join('\n').trim();
  }

  async #line(prompt: string): Promise<string | undefined> {
    if (this.#queue.length === 0 && !this.#closed) await this.#read(prompt);
    const line = this.#interrupts.signal.aborted ? undefined : this.#queue.shift();
    return line === undefined || !this.#interactive ? line : pastedText(line);
  }

  async #read(prompt: string): Promise<void> {
    if (this.#interactive) {
      process.stdin.setRawMode(true);
      process.stderr.write(bracketedPaste.on);
      this.#readline.setPrompt(prompt);
      this.#readline.prompt();
    } else {
      this.#readline.resume();
    }
    await new Promise<void>((resolve) => {
      this.#waiting = resolve;
    });
    this.#waiting = undefined;
    if (!this.#closed || this.#interactive) this.#rest();
  }

  #rest(): void {
    if (!this.#closed) this.#readline.pause();
    if (!this.#interactive) return;
    process.stderr.write(bracketedPaste.off);
    process.stdin.setRawMode(false);
  }

  #wake(): void {
    this.#waiting?.();
  }

  /** Ctrl-C at the prompt: drops what was typed, or leaves when there is nothing. */
  #onInterrupt(): void {
    if (this.#readline.line === '') {
      process.stderr.write('\n');
      this.#interrupts.raise('SIGINT');
    } else {
      process.stderr.write('^C\n');
      this.#readline.write(null, { ctrl: true, name: 'e' });
      this.#readline.write(null, { ctrl: true, name: 'u' });
    }
  }
}
