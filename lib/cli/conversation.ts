/** A chat's session and what can be done to it as a whole: other system message, retry, fork, save, load. */
import { writeFile } from 'node:fs/promises';
import type { Generation } from '../engine/run.js';
import { KvasirError } from '../errors.js';
import type { Model } from '../model.js';
import type { GenerateOptions } from '../options.js';
import { type Message, readMessages } from '../prompt.js';
import { readRegularFile } from '../regular-file.js';
import type { ChatSession } from '../session.js';

/** 64 MiB. */
const largestFile = 1 << 26;

/** Where a conversation may be gone back to. */
interface Kept {
  session: ChatSession;
  system: string | undefined;
}

export class Conversation {
  #session: ChatSession;
  #system: string | undefined;
  readonly #kept: Kept[] = [];

  constructor(
    private readonly model: Model,
    system: string | undefined,
  ) {
    this.#system = system;
    this.#session = this.#create(system);
  }

  /** Without the system message. */
  get messages(): Message[] {
    return this.#session.history.slice(this.#system === undefined ? 0 : 1);
  }

  /** The last user message. */
  get question(): string | undefined {
    const content = this.#session.history.findLast(({ role }) => role === 'user')?.content;
    return typeof content === 'string' ? content : undefined;
  }

  /** Begins anew, after other messages. */
  restart(messages: readonly Message[] = [], { system } = { system: this.#system }): void {
    const next = this.#create(system, messages);
    this.#session.dispose();
    this.#session = next;
    this.#system = system;
  }

  /** One turn. Where the context is full the oldest turns leave it: the result says how many tokens. */
  send(text: string, options: GenerateOptions): Generation {
    return this.#session.send(text, options);
  }

  /** Answers `question` once more; what was there stays where that fails. */
  retry(options: GenerateOptions): Generation {
    const { history } = this.#session;
    if (history.at(-1)?.role === 'assistant') return this.#session.retry(options);
    // A saved conversation may end with a question.
    const last = history.findLastIndex(({ role }) => role === 'user');
    return this.#session.edit(last, this.question ?? '', options);
  }

  /** Keeps this point to go back to, and goes on. */
  fork(): void {
    const session = this.#session.fork();
    this.#kept.push({ session: this.#session, system: this.#system });
    this.#session = session;
  }

  /** To where it was forked last. False: it was not. */
  back(): boolean {
    const kept = this.#kept.pop();
    if (kept === undefined) return false;
    this.#session.dispose();
    this.#session = kept.session;
    this.#system = kept.system;
    return true;
  }

  /** Throws what the file system says. */
  async save(path: string): Promise<void> {
    const { name } = this.model.info;
    const saved = { model: name, system: this.#system, messages: this.messages };
    await writeFile(path, `${JSON.stringify(saved, null, 2)}\n`);
  }

  /** Gives the number of messages. Throws MODEL_NOT_FOUND, MODEL_FORMAT, INVALID_OPTION. */
  async load(path: string): Promise<number> {
    const text = (await readRegularFile(path, largestFile)).toString();
    let saved: { system?: unknown; messages?: unknown } | null;
    try {
      saved = JSON.parse(text) as typeof saved;
    } catch (cause) {
      throw new KvasirError('MODEL_FORMAT', `${path} is no saved conversation: it is not JSON.`, { cause });
    }
    const messages = readMessages(saved?.messages);
    const system = typeof saved?.system === 'string' ? saved.system : undefined;
    this.restart(messages, { system });
    return messages.length;
  }

  #create(system: string | undefined, messages: readonly Message[] = []): ChatSession {
    return this.model.createSession({ system, messages, overflow: 'drop-turns' });
  }
}
