/** A chat's session and what can be done to it as a whole: other system message, retry, save, load. */
import { writeFile } from 'node:fs/promises';
import type { Generation, GenerationResult } from '../engine/run.js';
import { KvasirError } from '../errors.js';
import type { Model } from '../model.js';
import type { GenerateOptions } from '../options.js';
import { type Message, readMessages } from '../prompt.js';
import { readRegularFile } from '../regular-file.js';
import type { ChatSession } from '../session.js';

/** 64 MiB. */
const largestFile = 1 << 26;

export class Conversation {
  #session: ChatSession;
  #system: string | undefined;
  /** Turns that left the context, in all. */
  dropped = 0;

  constructor(
    private readonly model: Model,
    system: string | undefined,
  ) {
    this.#system = system;
    this.#session = model.createSession({ system });
  }

  /** Without the system message. */
  get messages(): Message[] {
    return this.#session.history.slice(this.#system === undefined ? 0 : 1);
  }

  /** Begins anew, after other messages. */
  restart(messages: readonly Message[] = [], { system } = { system: this.#system }): void {
    const next = this.model.createSession({ system, messages });
    this.#session.dispose();
    this.#session = next;
    this.#system = system;
  }

  /**
   * One turn. Where the context is full, the oldest turns leave it, and the turn is tried again.
   * @param answer streams the run to its end.
   */
  async send(
    text: string,
    options: GenerateOptions,
    answer: (run: Generation) => Promise<GenerationResult>,
  ): Promise<GenerationResult> {
    for (;;) {
      try {
        return await answer(this.#session.send(text, options));
      } catch (error) {
        const isFull = error instanceof KvasirError && error.code === 'CONTEXT_OVERFLOW';
        if (!isFull || !this.#dropOldest()) throw error;
      }
    }
  }

  /** The last user message, which is taken back together with its answer. */
  takeBack(): string | undefined {
    const messages = this.messages;
    const last = messages.findLastIndex(({ role }) => role === 'user');
    const content = messages[last]?.content;
    if (typeof content !== 'string') return undefined;
    this.restart(messages.slice(0, last));
    return content;
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

  /** The first user message and its answer. False: there is none but the one that does not fit. */
  #dropOldest(): boolean {
    const messages = this.messages;
    const next = messages.findIndex(({ role }, i) => i > 0 && role === 'user');
    if (messages.length === 0) return false;
    this.restart(next < 0 ? [] : messages.slice(next));
    this.dropped += 1;
    return true;
  }
}
