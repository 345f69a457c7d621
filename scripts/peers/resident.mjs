// A peer in a process of its own that stays loaded between its turns. It is stopped (SIGSTOP) while another is
// measured: its threads keep their own way of waiting when it runs, and cannot take time when it does not.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const answerTimeoutMs = 180_000;
const open = new Set();

/** Stopped processes do not notice that their parent is gone. */
process.on('exit', () => {
  for (const child of open) child.kill('SIGKILL');
});

export class Resident {
  #child;
  #lines;
  #errors = '';

  /** @param {{ command: string, args: string[], env?: NodeJS.ProcessEnv, threads: number }} options */
  constructor({ command, args, env }) {
    this.#child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    open.add(this.#child);
    this.#child.on('close', () => open.delete(this.#child));
    this.#child.on('error', (error) => {
      this.#errors += error.message;
    });
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-2000);
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Waits until the peer is loaded. @returns what it says of itself */
  async start() {
    const facts = await this.#next();
    this.#child.kill('SIGSTOP');
    return facts;
  }

  /** One turn of a language model. @param {number[][]} prompts */
  measure({ tokens }, prompts) {
    return this.ask({ prompts, newTokens: tokens });
  }

  /** One turn: a line of JSON for another. */
  async ask(request) {
    this.#child.kill('SIGCONT');
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    try {
      return await this.#next();
    } finally {
      this.#child.kill('SIGSTOP');
    }
  }

  close() {
    this.#child.kill('SIGKILL');
  }

  async #next() {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('no answer in time')), answerTimeoutMs);
    });
    try {
      const { value, done } = await Promise.race([this.#lines.next(), late]);
      if (done) throw new Error(`it ended: ${this.#errors.trim().slice(-400)}`);
      const answer = JSON.parse(value);
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }
}
