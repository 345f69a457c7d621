/** The sessions of one model: new ones, and those that come back from their files. */
import type { Engine } from './engine/engine.js';
import { isKvasirError, KvasirError } from './errors.js';
import { invalidOption, parseOptions, type Rule } from './given.js';
import { type ModelInfo, requireHead } from './info.js';
import type { LoadedModel } from './load.js';
import { type Adapter, adapterRule } from './lora/adapter.js';
import { type Overflow, overflowRule } from './prompt-options.js';
import {
  checkFile,
  openSession,
  type SavingModel,
  type SessionState,
  saveSession,
  specHash,
} from './saved/session-file.js';
import { ChatSession, type SessionHost, type SessionOptions } from './session.js';
import { specToJson } from './spec.js';

export interface RestoreOptions {
  /** In the place of what the file says; needed where that was a function. */
  overflow?: Overflow;
  /** For turns that name no other. Default: none. */
  adapter?: Adapter;
}

const rules = { overflow: overflowRule, adapter: adapterRule } satisfies Record<keyof RestoreOptions, Rule>;

export class Sessions {
  readonly #info: ModelInfo;
  readonly #saving: SavingModel;
  readonly #host: SessionHost;

  constructor(engine: Engine, parts: LoadedModel, generate: SessionHost['generate']) {
    const { name, architecture, dtype, kvDtype } = parts.info;
    const spec = specHash(specToJson(parts.description.spec));
    const identity = { name, architecture, dtype, kvDtype, spec };
    this.#info = parts.info;
    this.#saving = { engine, native: parts.native, identity };
    this.#host = {
      generate,
      save: (owner, file, state) => saveSession(this.#saving, owner, file, state),
      disown: (owner) => engine.disown(owner),
    };
  }

  /** Throws as `model.createSession` says. */
  create(options: SessionOptions): ChatSession {
    this.#saving.engine.throwIfDisposed();
    requireHead(this.#info, 'createSession');
    return new ChatSession(this.#host, options);
  }

  /** Rejects as `model.restoreSession` says. */
  async restore(file: unknown, options: unknown): Promise<ChatSession> {
    this.#saving.engine.throwIfDisposed();
    requireHead(this.#info, 'restoreSession');
    checkFile(file);
    const given = parseOptions(rules, options, 'restoreSession') as RestoreOptions;
    const { state, adopt } = await openSession(this.#saving, file);
    if (state.overflow === 'function' && given.overflow === undefined)
      throw invalidOption('overflow', undefined, 'given again: that of the session was a function');
    const session = sessionOf(this.#host, file, state, given);
    await adopt(session);
    return session;
  }
}

/** Throws MODEL_FORMAT for what no session could have saved. */
function sessionOf(host: SessionHost, file: string, state: SessionState, given: RestoreOptions): ChatSession {
  const { messages, tools, template, overflow, droppedTurns } = state;
  const saved = {
    ...(messages.length > 0 ? { messages } : {}),
    tools,
    template,
    adapter: given.adapter,
    overflow: given.overflow ?? overflow,
  };
  try {
    return new ChatSession(host, saved as SessionOptions, droppedTurns);
  } catch (cause) {
    if (!isKvasirError(cause) || cause.code !== 'INVALID_OPTION') throw cause;
    throw new KvasirError('MODEL_FORMAT', `${file} is no whole session: ${cause.message}`, { cause });
  }
}
