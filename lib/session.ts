/** A conversation: messages in order, one answer at a time, the KV cache kept between turns. */
import { KvasirError } from './errors.js';
import type { CacheUse } from './engine/request.js';
import { type Generation, type GenerationResult, GenerationRun } from './engine/run.js';
import { parseOptions, plainData, type Rule, reading } from './given.js';
import { type GenerateOptions, wellFormed } from './options.js';
import { checkText, type Message, readMessages } from './prompt.js';

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

const rules = {
  system: wellFormed,
  tools: {
    copy: (v) => (Array.isArray(v) ? plainData(v, 'tools') : v),
    fits: Array.isArray,
    allowed: 'an array',
  },
  template: wellFormed,
  messages: {
    copy: (v) => (Array.isArray(v) && v.length > 0 ? readMessages(v) : v),
    fits: Array.isArray,
    allowed: 'an array of { role, content }',
  },
} satisfies Record<keyof SessionOptions, Rule>;

export class ChatSession {
  readonly #host: SessionHost;
  readonly #tools: readonly unknown[] | undefined;
  readonly #template: string | undefined;
  #messages: Message[] = [];
  #busy = false;
  #disposed = false;

  /** Made by `model.createSession`. */
  constructor(host: SessionHost, options: SessionOptions = {}) {
    if (reading('The host', () => typeof host?.generate !== 'function')) {
      throw new KvasirError('INVALID_OPTION', 'A ChatSession is made by model.createSession.');
    }
    const { system, tools, template, messages } = parseOptions(
      rules,
      options,
      'createSession',
    ) as SessionOptions;
    if (system !== undefined) this.#messages.push({ role: 'system', content: system });
    this.#messages.push(...(messages ?? []));
    this.#host = host;
    this.#tools = tools;
    this.#template = template;
  }

  /** The conversation so far, the turn that is being answered left out. A copy. */
  get history(): Message[] {
    return structuredClone(this.#messages);
  }

  /**
   * Sends a user message; options and run are those of `generate`. The turn enters the history when the answer ends.
   * An aborted answer stays as far as it got; a turn that failed, or was aborted
   * before the first token, leaves no trace. It rejects with INVALID_OPTION, also while the previous answer is not
   * finished, and DISPOSED; it does not throw.
   */
  send(text: string, options: GenerateOptions = {}): Generation {
    try {
      this.#checkFree();
      checkText(text, 'text');
    } catch (error) {
      return GenerationRun.failed(error);
    }
    const question: Message = { role: 'user', content: text };
    // Before the start: with a signal that is aborted already, the run settles within it.
    this.#busy = true;
    return this.#host.generate([...this.#messages, question], options, {
      cache: { reuse: true, owner: this },
      tools: this.#tools,
      template: this.#template,
      onSettled: (result) => this.#settle(question, result),
    });
  }

  #checkFree(): void {
    if (this.#disposed) throw new KvasirError('DISPOSED', 'The session was disposed: create another one.');
    if (!this.#busy) return;
    throw new KvasirError(
      'INVALID_OPTION',
      'The session is still answering: await, iterate to the end or abort the previous run before sending.',
    );
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
