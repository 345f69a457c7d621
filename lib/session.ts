/** A conversation: messages in order, one answer at a time, the KV cache kept between turns. */
import { KvasirError } from './errors.js';
import type { CacheUse } from './engine/request.js';
import type { Generation, GenerationResult } from './engine/run.js';
import { type GenerateOptions, invalidOption } from './options.js';
import { checkMessage, checkText, isMessage, type Message } from './prompt.js';

export interface SessionOptions {
  /** First message, of role 'system'. Default: none (the chat template may bring its own). */
  system?: string;
  /** JSON-schema tool definitions, handed to the chat template. */
  tools?: readonly unknown[];
  /** Name of one of the model's chat templates, as `applyChatTemplate` takes it. Default: the model's choice. */
  template?: string;
  /** Messages that came before, after `system`. Default: none. */
  messages?: readonly Message[];
}

/** What the public options of `generate` do not offer. */
export interface GenerationInternals {
  /** Default: reuse prefixes. */
  cache?: CacheUse;
  /** JSON-schema tool definitions for the chat template. */
  tools?: readonly unknown[];
  /** Name of the chat template. */
  template?: string;
  /** Called at once when the outcome is there; `undefined`: it failed. */
  onSettled?(result: GenerationResult | undefined): void;
}

/** The model behind a session. */
export interface SessionHost {
  generate(
    messages: readonly Message[],
    options: GenerateOptions,
    internals: GenerationInternals,
  ): Generation;
  /** Kept sequences of this owner may go. */
  disown(owner: object): void;
}

const OPTIONS = ['system', 'tools', 'template', 'messages'];

export class ChatSession {
  readonly #host: SessionHost;
  readonly #tools: readonly unknown[] | undefined;
  readonly #template: string | undefined;
  #messages: Message[] = [];
  #busy = false;
  #disposed = false;

  /** Made by `model.createSession`. */
  constructor(host: SessionHost, options: SessionOptions) {
    if (typeof options !== 'object' || options === null) {
      throw invalidOption('of createSession', options, 'an object');
    }
    const { system, tools, template, messages } = options;
    for (const [name, value] of Object.entries(options)) {
      if (!OPTIONS.includes(name))
        throw invalidOption(name, value, `absent: a session takes ${OPTIONS.join(', ')}`);
    }
    if (tools !== undefined && !Array.isArray(tools)) throw invalidOption('tools', tools, 'an array');
    if (template !== undefined) checkText(template, 'template');
    if (messages !== undefined && !Array.isArray(messages))
      throw invalidOption('messages', messages, 'an array');
    if (system !== undefined) {
      checkText(system, 'system');
      this.#messages.push({ role: 'system', content: system });
    }
    for (const message of messages ?? []) {
      if (!isMessage(message)) throw invalidOption('messages', message, 'an array of { role, content }');
      checkMessage(message);
      this.#messages.push({ ...message });
    }
    this.#host = host;
    this.#tools = tools;
    this.#template = template;
  }

  /** The conversation so far, the turn that is being answered left out. A copy. */
  get history(): Message[] {
    return this.#messages.map((message) => ({ ...message }));
  }

  /**
   * Sends a user message; options and run are those of `generate`. The turn enters the history when the answer ends.
   * An aborted answer stays as far as it got; a turn that failed, or was aborted
   * before the first token, leaves no trace.
   * @throws INVALID_OPTION, also while the previous answer is not finished; DISPOSED.
   */
  send(text: string, options: GenerateOptions = {}): Generation {
    if (this.#disposed) throw new KvasirError('DISPOSED', 'The session was disposed: create another one.');
    if (this.#busy) {
      throw new KvasirError(
        'INVALID_OPTION',
        'The session is still answering: await, iterate to the end or abort the previous run before sending.',
      );
    }
    checkText(text, 'text');
    const question: Message = { role: 'user', content: text };
    // Before the start: with a signal that is aborted already, the run settles within it.
    this.#busy = true;
    try {
      return this.#host.generate([...this.#messages, question], options, {
        cache: { reuse: true, owner: this },
        tools: this.#tools,
        template: this.#template,
        onSettled: (result) => this.#settle(question, result),
      });
    } catch (error) {
      this.#busy = false;
      throw error;
    }
  }

  /** Frees what the session keeps in the cache. A running answer goes on. Idempotent. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#host.disown(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #settle(question: Message, result: GenerationResult | undefined): void {
    this.#busy = false;
    if (!result || (result.finishReason === 'abort' && result.tokens.length === 0)) return;
    this.#messages.push(question, { role: 'assistant', content: result.text });
  }
}
