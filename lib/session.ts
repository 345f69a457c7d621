/** A conversation: messages in order, one answer at a time, the KV cache kept between turns. */
import { type Adapter, adapterRule } from './lora/adapter.js';
import { KvasirError } from './errors.js';
import type { CacheUse } from './engine/request.js';
import { type Generation, type GenerationResult, GenerationRun } from './engine/run.js';
import type { SamplerWatch } from './generation/sampler-watch.js';
import { invalidOption, parseOptions, type Rule, reading } from './given.js';
import { type GenerateOptions, wellFormed } from './options.js';
import { ConversationFit } from './overflow.js';
import { type Overflow, overflowRule } from './prompt-options.js';
import { checkText, type Message, readMessages } from './prompt.js';
import type { SessionState } from './saved/session-file.js';
import { type FunctionTool, type ToolDefinition, toolsRule } from './tools/definitions.js';
import { assistantMessage } from './tools/messages.js';

export interface SessionOptions {
  /** First message, of role 'system'. Default: none (the chat template may bring its own). */
  system?: string;
  /** Functions that the model may call in every turn, where `send` gives no others. Default: none. */
  tools?: readonly ToolDefinition[];
  /** Name of one of the model's chat templates, as `applyChatTemplate` takes it. Default: the model's choice. */
  template?: string;
  /** A LoRA adapter that the model has loaded, for turns that name no other. Default: none. */
  adapter?: Adapter;
  /** When the conversation no longer fits the context. Default 'error'. */
  overflow?: Overflow;
  /** Messages that came before, after `system`. Default: none. */
  messages?: readonly Message[];
}

/** What the public options of `generate` do not offer. */
export interface GenerationInternals {
  /** Default: reuse prefixes. */
  cache?: CacheUse;
  /** Where the options name none. */
  tools?: readonly FunctionTool[];
  /** Name of the chat template. */
  template?: string;
  /** Where the options name none. */
  adapter?: Adapter;
  /** What else the chat template knows, by name. */
  variables?: Record<string, unknown>;
  /** Is told how tokens are drawn. */
  watch?: SamplerWatch;
  /** Makes a conversation fit. */
  fit?: ConversationFit;
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
  /** Writes a session to a file; see saved/session-file.ts. */
  save(owner: object, file: string, state: SessionState): Promise<void>;
  /** Kept sequences of this owner may go. */
  disown(owner: object): void;
}

const rules = {
  system: wellFormed,
  tools: toolsRule,
  template: wellFormed,
  adapter: adapterRule,
  overflow: overflowRule,
  messages: {
    copy: (v) => (Array.isArray(v) && v.length > 0 ? readMessages(v) : v),
    fits: Array.isArray,
    allowed: 'an array of { role, content }',
  },
} satisfies Record<keyof SessionOptions, Rule>;

export class ChatSession {
  readonly #host: SessionHost;
  readonly #tools: readonly FunctionTool[] | undefined;
  readonly #template: string | undefined;
  readonly #adapter: Adapter | undefined;
  readonly #fit: ConversationFit;
  #messages: Message[] = [];
  #busy = false;
  #disposed = false;

  /** Made by `model.createSession` and `model.restoreSession`. @param droppedTurns that no longer are in its prompts */
  constructor(host: SessionHost, options: SessionOptions = {}, droppedTurns = 0) {
    if (reading('The host', () => typeof host?.generate !== 'function')) {
      throw new KvasirError('INVALID_OPTION', 'A ChatSession is made by model.createSession.');
    }
    const { system, tools, template, adapter, messages, overflow } = parseOptions(
      rules,
      options,
      'createSession',
    ) as SessionOptions;
    if (system !== undefined) this.#messages.push({ role: 'system', content: system });
    this.#messages.push(...(messages ?? []));
    this.#host = host;
    this.#tools = tools as readonly FunctionTool[] | undefined;
    this.#template = template;
    this.#adapter = adapter;
    this.#fit = new ConversationFit(overflow ?? 'error', droppedTurns);
  }

  /** The conversation so far, the turn that is being answered left out. A copy. */
  get history(): Message[] {
    return structuredClone(this.#messages);
  }

  /**
   * Sends a user message, or messages, such as results of tools; options and run are those of `generate`. The turn enters the history when the answer ends.
   * An aborted answer stays as far as it got; a turn that failed, or was aborted
   * before the first token, leaves no trace. It rejects with INVALID_OPTION, also while the previous answer is not
   * finished, and DISPOSED; it does not throw.
   */
  send(message: string | readonly Message[], options: GenerateOptions = {}): Generation {
    let news: Message[];
    try {
      this.#checkFree();
      news = readNews(message);
    } catch (error) {
      return GenerationRun.failed(error);
    }
    return this.#answer(this.#messages, news, options);
  }

  /**
   * Answers the last turn once more: when the new answer ends it takes the place of the old one, which stays where the run
   * fails. Rejects as `send` does, and with INVALID_OPTION where the last message is no answer.
   */
  retry(options: GenerateOptions = {}): Generation {
    try {
      this.#checkFree();
      if (this.#messages.at(-1)?.role !== 'assistant')
        throw new KvasirError('INVALID_OPTION', 'There is no answer to retry: the last message is none.');
    } catch (error) {
      return GenerationRun.failed(error);
    }
    return this.#answer(this.#messages.slice(0, -1), [], options);
  }

  /**
   * Puts another text in the place of a message of the user and answers it; what came after it goes when the answer ends,
   * and all stays as it was where the run fails. Rejects as `send` does.
   * @param index of the message in `history`
   */
  edit(index: number, text: string, options: GenerateOptions = {}): Generation {
    let message: Message;
    try {
      this.#checkFree();
      checkText(text, 'text');
      const found = Number.isInteger(index) ? this.#messages[index] : undefined;
      if (found?.role !== 'user')
        throw invalidOption('index', index, "that of a message of role 'user' in history");
      message = { ...found, content: text };
      this.#fit.reset();
    } catch (error) {
      return GenerationRun.failed(error);
    }
    return this.#answer(this.#messages.slice(0, index), [message], options);
  }

  /**
   * Another session with the same options and history, which go their own ways; a turn that is being answered is not in it.
   * The cache holds what both have in common once.
   * @throws DISPOSED.
   */
  fork(): ChatSession {
    if (this.#disposed) throw disposed();
    return new ChatSession(this.#host, {
      tools: this.#tools,
      template: this.#template,
      adapter: this.#adapter,
      overflow: this.#fit.overflow,
      messages: this.history,
    });
  }

  /**
   * Writes the history, the options and what the KV cache holds of them to a file, for `model.restoreSession`. The file
   * appears whole or not at all, in the place of what was there. The adapter, and what was computed with one, is not in it.
   * Rejects with INVALID_OPTION (also while an answer is not finished, or where nothing can be written), and DISPOSED.
   * @param file its path. With whole-context layers it takes `info.kvBytesPerToken` bytes a token, rounded up to pages.
   */
  async save(file: string): Promise<void> {
    this.#checkFree();
    const { overflow, dropped } = this.#fit;
    await this.#host.save(this, file, {
      messages: this.history,
      tools: this.#tools,
      template: this.#template,
      overflow: typeof overflow === 'string' ? overflow : 'function',
      droppedTurns: dropped,
    });
  }

  /** @param before what stays of the history when the answer to `news` has ended */
  #answer(before: readonly Message[], news: readonly Message[], options: GenerateOptions): Generation {
    // Before the start: with a signal that is aborted already, the run settles within it.
    this.#busy = true;
    return this.#host.generate([...before, ...news], options, {
      cache: { reuse: true, owner: this },
      tools: this.#tools,
      template: this.#template,
      adapter: this.#adapter,
      fit: this.#fit,
      onSettled: (result) => {
        this.#busy = false;
        if (!result || (result.finishReason === 'abort' && result.tokens.length === 0)) return;
        this.#messages = [...before, ...news, assistantMessage(result)];
        this.#fit.keep();
      },
    });
  }

  #checkFree(): void {
    if (this.#disposed) throw disposed();
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
}

function disposed(): KvasirError {
  return new KvasirError('DISPOSED', 'The session was disposed: create another one.');
}

/** Throws INVALID_OPTION. */
function readNews(message: unknown): Message[] {
  if (reading('The messages', () => Array.isArray(message) && message.length > 0))
    return readMessages(message);
  checkText(message, 'text');
  return [{ role: 'user', content: message }];
}
