/** A loaded model as a chat model of LangChain: tools, structured output, streams. */
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import type {
  BaseLanguageModelInput,
  StructuredOutputMethodOptions,
} from '@langchain/core/language_models/base';
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BaseChatModelParams,
  type BindToolsInput,
} from '@langchain/core/language_models/chat_models';
import type { AIMessageChunk, BaseMessage } from '@langchain/core/messages';
import type { ChatGenerationChunk, ChatResult } from '@langchain/core/outputs';
import type { Runnable } from '@langchain/core/runnables';
import {
  copiedOptions,
  DEFAULT_ANSWER_TOKENS,
  type ModelSettings,
  readSettings,
  settingNames,
} from '../adapters/settings.js';
import { type ChatSource, chatSource, loadedModel } from '../adapters/source.js';
import type { Generation } from '../engine/run.js';
import type { Model } from '../model.js';
import type { GenerateOptions } from '../options.js';
import type { ResponseFormat } from '../structure/response-format.js';
import { ChunkWriter, chatResultOf } from './answer.js';
import { messagesOf } from './messages.js';
import { type OutputSchema, structuredOutput } from './structured-output.js';
import { toolChoiceOf, toolsOf } from './tools.js';

/** A loaded model, options of `generate` for all calls, and what LangChain's own base class takes. */
export interface ChatKvasirFields extends BaseChatModelParams, ModelSettings {
  /** It stays its caller's to dispose of. */
  model: Model;
}

/** Of one call, besides `stop` and `signal`: options of `generate`, which count instead of those of all calls. */
export interface ChatKvasirCallOptions extends BaseChatModelCallOptions, ModelSettings {
  tools?: BindToolsInput[];
  responseFormat?: ResponseFormat;
}

/** What the base class takes. */
const baseNames = [
  ...['cache', 'callbackManager', 'callbacks', 'disableStreaming', 'maxConcurrency', 'maxRetries'],
  ...['metadata', 'onFailedAttempt', 'outputVersion', 'tags', 'verbose'],
];

/** Any source of answers as a chat model. */
export class SourceChatModel extends BaseChatModel<ChatKvasirCallOptions> {
  readonly #source: ChatSource;
  readonly #settings: ModelSettings;

  /** Throws INVALID_OPTION. */
  constructor(source: ChatSource, fields: Omit<ChatKvasirFields, 'model'>) {
    const entries = Object.entries(fields);
    super(Object.fromEntries(entries.filter(([name]) => baseNames.includes(name))));
    this.lc_namespace = ['kvasir', 'chat_models'];
    this.#source = source;
    const own = entries.filter(([name]) => !baseNames.includes(name));
    this.#settings = readSettings(Object.fromEntries(own), 'ChatKvasir');
  }

  override _llmType(): string {
    return 'kvasir';
  }

  override get callKeys(): string[] {
    return [...super.callKeys, 'tools', 'tool_choice', 'responseFormat', ...settingNames];
  }

  override _identifyingParams(): Record<string, unknown> {
    return { model_name: this.#source.name, ...this.#settings };
  }

  override getLsParams(options: this['ParsedCallOptions']) {
    const { temperature, maxTokens } = { ...this.#settings, ...options };
    return {
      ...super.getLsParams(options),
      ls_provider: 'kvasir',
      ls_model_name: this.#source.name,
      ls_temperature: temperature,
      ls_max_tokens: maxTokens,
    };
  }

  /** By the model's own tokenizer. */
  override async getNumTokens(content: BaseMessage['content']): Promise<number> {
    const [{ content: text }] = messagesOf([{ type: 'human', content } as BaseMessage]);
    return this.#source.count(text as string);
  }

  override bindTools(
    tools: BindToolsInput[],
    kwargs?: Partial<ChatKvasirCallOptions>,
  ): Runnable<BaseLanguageModelInput, AIMessageChunk, ChatKvasirCallOptions> {
    // What cannot be told is refused here, not in the middle of a chain.
    toolsOf(tools);
    return this.withConfig({ tools, ...kwargs });
  }

  /** Rejects as `generate` does, and with the signal's reason where it ends the call. */
  override async _generate(messages: BaseMessage[], options: this['ParsedCallOptions']): Promise<ChatResult> {
    const result = await this.#start(messages, options);
    options.signal?.throwIfAborted();
    return chatResultOf(result, this.#source.name);
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const run = this.#start(messages, options);
    const writer = new ChunkWriter();
    const tell = (chunk: ChatGenerationChunk) =>
      runManager?.handleLLMNewToken(chunk.text, undefined, undefined, undefined, undefined, { chunk });
    for await (const piece of run) {
      if (piece.type !== 'tool-call' && piece.text === '') continue;
      const chunk = writer.chunkOf(piece);
      yield chunk;
      await tell(chunk);
    }
    const result = await run;
    options.signal?.throwIfAborted();
    yield writer.endOf(result, this.#source.name);
  }

  #start(messages: readonly BaseMessage[], options: this['ParsedCallOptions']): Generation {
    const { tools = [], tool_choice, responseFormat, stop, signal } = options;
    // LangChain's own components add options of theirs to a call: those are left out.
    const given = Object.fromEntries(settingNames.map((name) => [name, options[name]]));
    const { templateVariables, ...own } = {
      maxTokens: DEFAULT_ANSWER_TOKENS,
      ...this.#settings,
      ...readSettings(given, 'the call'),
    };
    const asked: GenerateOptions = { ...own, ...(stop && { stop }), ...(signal && { signal }) };
    if (responseFormat !== undefined) asked.responseFormat = responseFormat;
    if (tools.length > 0)
      Object.assign(asked, { tools: toolsOf(tools), toolChoice: toolChoiceOf(tool_choice) });
    return this.#source.generate(messagesOf(messages), asked, { ...templateVariables });
  }

  /**
   * Answers that are an instance of a schema: of zod, of another library of the Standard Schema, or a JSON Schema.
   * @param config `method`: 'jsonSchema' (default: the answer is held to the schema, token by token), 'functionCalling' (a
   * tool that must be called), 'jsonMode' (some JSON object, then checked against the schema).
   * @throws INVALID_OPTION.
   */
  // biome-ignore lint/suspicious/noExplicitAny: as the base class has it, interfaces fit
  override withStructuredOutput<Output extends Record<string, any> = Record<string, any>>(
    schema: OutputSchema<Output>,
    config?: StructuredOutputMethodOptions<false>,
  ): Runnable<BaseLanguageModelInput, Output>;
  // biome-ignore lint/suspicious/noExplicitAny: as the base class has it, interfaces fit
  override withStructuredOutput<Output extends Record<string, any> = Record<string, any>>(
    schema: OutputSchema<Output>,
    config?: StructuredOutputMethodOptions<true>,
  ): Runnable<BaseLanguageModelInput, { raw: BaseMessage; parsed: Output }>;
  // biome-ignore lint/suspicious/noExplicitAny: as the base class has it, interfaces fit
  override withStructuredOutput<Output extends Record<string, any>>(
    schema: OutputSchema<Output>,
    config: StructuredOutputMethodOptions<boolean> = {},
  ) {
    return structuredOutput(this, schema, config);
  }
}

/**
 * A loaded model for LangChain: `new ChatKvasir({ model, temperature: 0 })`. What LangChain offers for retries and
 * concurrency of remote calls (`maxRetries`, `maxConcurrency`) has no part in it: calls run side by side in the engine.
 */
export class ChatKvasir extends SourceChatModel {
  readonly model: Model;

  static override lc_name(): string {
    return 'ChatKvasir';
  }

  /** @throws INVALID_OPTION. */
  constructor(fields: ChatKvasirFields) {
    const { model, ...others } = copiedOptions(fields, 'ChatKvasir');
    super(chatSource(loadedModel(model)), others);
    this.model = model;
  }
}
