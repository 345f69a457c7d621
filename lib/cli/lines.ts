/**
 * Lines from the person at the terminal, or from a pipe. Between lines the terminal is as the shell left it, so that
 * Ctrl-C is a signal and a program that dies leaves nothing behind.
 */
import { createInterface, type Interface } from 'node:readline';
import type { Interrupts } from './interrupt.js';

export class Lines {
  readonly #readline: Interface;
  readonly #interactive: boolean;
  readonly #interrupts: Interrupts;
  #queue: string[] = [];
  #closed = false;
  #waiting: (() => void) | undefined;

  constructor(interrupts: Interrupts) {
    this.#interrupts = interrupts;
    this.#interactive = process.stdin.isTTY === true && process.stderr.isTTY === true;
    this.#readline = createInterface({
      input: process.stdin,
      // The prompt is no data.
      output: this.#interactive ? process.stderr : undefined,
      terminal: this.#interactive,
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

  /** The next line, or undefined at the end of the input or after Ctrl-C. */
  async next(prompt: string): Promise<string | undefined> {
    if (this.#queue.length === 0 && !this.#closed) await this.#read(prompt);
    return this.#interrupts.signal.aborted ? undefined : this.#queue.shift();
  }

  close(): void {
    if (!this.#closed) this.#readline.close();
  }

  async #read(prompt: string): Promise<void> {
    if (this.#interactive) {
      process.stdin.setRawMode(true);
      this.#readline.setPrompt(prompt);
      this.#readline.prompt();
    } else {
      this.#readline.resume();
    }
    await new Promise<void>((resolve) => {
      this.#waiting = resolve;
    });
    this.#waiting = undefined;
    if (!this.#closed) this.#rest();
  }

  #rest(): void {
    this.#readline.pause();
    if (this.#interactive) process.stdin.setRawMode(false);
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
