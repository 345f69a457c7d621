/** A loaded model: describe, generate, score, converse, embed, decide, dispose. */
import { setMaxListeners } from 'node:events';
import { Adapter, adapterRule } from './lora/adapter.js';
import { AdapterLoader } from './lora/loader.js';
import {
  type BooleanDecisionOptions,
  type ChoiceOptions,
  type DecideOptions,
  type Decision,
  parseDecideOptions,
  type ScoreDecisionOptions,
  weigh,
} from './decide.js';
import type { Classification, ClassifyOptions } from './classify/classify.js';
import { Judge } from './classify/judge.js';
import type { Reranked, RerankOptions } from './classify/rerank.js';
import { type Embeddings, embedTexts } from './embed/embed.js';
import { type EmbedDefaults, type EmbedOptions, parseEmbedOptions } from './embed/embed-options.js';
import {
  type EmbedTokensOptions,
  embedTokensOf,
  parseEmbedTokensOptions,
  type TokenEmbeddings,
} from './embed/embed-tokens.js';
import { KvasirError } from './errors.js';
import { enlist } from './engine/draft-model.js';
import { Engine } from './engine/engine.js';
import { guardedRun } from './engine/guarded-run.js';
import { type Generator, launch } from './engine/launch.js';
import { readLogits } from './engine/rows-request.js';
import { type Generation, GenerationRun } from './engine/run.js';
import { SamplerBuffers } from './generation/sampler.js';
import { type ModelInfo, requireHead } from './info.js';
import { type LoadedModel, loadModel } from './load.js';
import { native } from './native.js';
import { invalidOption, parseOptions, type Rule, signal } from './given.js';
import {
  type GenerateOptions,
  type GenerateSettings,
  type LoadOptions,
  parseGenerateOptions,
  parseLoadOptions,
  type SamplingDefaults,
} from './options.js';
import {
  checkText,
  type Message,
  type Prompt,
  readAnyPrompt,
  readConversation,
  readPrompt,
  readText,
  readTexts,
} from './prompt.js';
import { PromptEncoding } from './prompt-encoding.js';
import { checkPromptOptions } from './prompt-options.js';
import { type ScoreOptions, type ScoreResult, scoreTokens } from './score.js';
import { seesAhead } from './spec.js';
import type { ChatSession, GenerationInternals, SessionOptions } from './session.js';
import { type RestoreOptions, Sessions } from './sessions.js';
import { Structures } from './structure/structure.js';
import type { Tokenizer } from './tokenizer/tokenizer.js';
import { checkChatPrompt } from './tools/chat.js';
import {
  type Generate,
  type RunnableTool,
  runTools,
  type RunToolsOptions,
  type RunToolsResult,
} from './tools/run-tools.js';
import type { Traced } from './trace/text-run.js';
import { tokenRowsOf } from './trace/token-rows.js';
import type { Trace } from './trace/trace.js';
import { parseTraceOptions, type TraceOptions } from './trace/trace-options.js';
import { traceText } from './trace/trace-text.js';
import { type TokenVectorsOptions, tokenVectorsOf } from './vectors/token-vectors.js';
import type { WordVectors } from './vectors/word-vectors.js';
import { structureVocabularyOf, vocabularyOf } from './vocabulary.js';

/** `generate` with what only our own rooms may ask for, such as `bench` that must not find its prompt in the cache. */
let startGeneration: (
  model: Model,
  prompt: Prompt,
  options: GenerateOptions,
  internals: GenerationInternals,
) => Generation;
/** Whole rows of logits, for `compare`; see readLogits of the engine. */
let logitsOf: (
  model: Model,
  tokens: Int32Array,
  from: number,
  signal?: AbortSignal,
) => AsyncGenerator<Float32Array, void, undefined>;

/** For the page of `inspect`. */
let tracedOf: (model: Model) => Traced;
/** Only `Model.load` has it. */
const loaded = Symbol('loaded');

const scoreRules = { adapter: adapterRule, signal } satisfies Record<keyof ScoreOptions, Rule>;

export class Model {
  /** What was loaded and how it runs. */
  readonly info: ModelInfo;
  readonly tokenizer: Tokenizer;
  readonly #engine: Engine;
  readonly #generator: Generator;
  readonly #traced: Traced;
  readonly #defaults: SamplingDefaults;
  readonly #embedDefaults: EmbedDefaults;
  readonly #judge: Judge;
  readonly #adapters: AdapterLoader;
  readonly #encoding: PromptEncoding;
  readonly #sessions: Sessions;
  #disposed: Promise<void> | undefined;

  static {
    tracedOf = (model) => model.#traced;
    startGeneration = (model, prompt, options, internals) => model.#start(prompt, options, internals);
    logitsOf = (model, tokens, from, signal) => readLogits(model.#engine, { tokens, from, signal });
  }

  private constructor(key: typeof loaded, parts: LoadedModel) {
    if (key !== loaded) throw new KvasirError('INVALID_OPTION', 'A Model is made by Model.load.');
    const { info, native: model, tokenizer, description, embedDefaults } = parts;
    this.info = info;
    this.tokenizer = tokenizer;
    this.#engine = new Engine(model, info.contextLength, { whole: seesAhead(description.spec) });
    this.#traced = {
      engine: this.#engine,
      inspection: model,
      spec: description.spec,
      stepTokens: model.info.stepTokens,
      info,
      hasOwnHead: 'lm_head' in model.info.linears,
      textOf: (id) => tokenizer.tokenText(id),
    };
    this.#defaults = description.generationDefaults;
    this.#embedDefaults = embedDefaults;
    this.#encoding = new PromptEncoding(tokenizer, info);
    this.#sessions = new Sessions(this.#engine, parts, this.#start.bind(this));
    this.#judge = new Judge(this.#engine, parts);
    this.#adapters = new AdapterLoader({
      engine: this.#engine,
      native: model,
      base: { name: info.name, architecture: info.architecture, spec: description.spec },
      predict: parts.predictAdapters,
    });
    const { eosTokenIds } = description.generationDefaults;
    const endTokens = [...eosTokenIds, ...tokenizer.endTokenIds];
    this.#generator = {
      engine: this.#engine,
      contextLength: info.contextLength,
      vocabulary: vocabularyOf(tokenizer, info.vocabSize, endTokens),
      buffers: new SamplerBuffers(info.vocabSize),
      structures: new Structures(native, structureVocabularyOf(tokenizer, info.vocabSize, endTokens)),
    };
    enlist(this, this.#generator, info.kind === 'decoder');
  }

  /**
   * Loads a model, fetching it first where it is not on this machine.
   * @param reference an alias ('smollm2-135m'), a local folder or `.gguf` file, or 'hf:org/name[:file]'.
   * @throws MODEL_NOT_FOUND, MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE, INSUFFICIENT_MEMORY, DEVICE_UNAVAILABLE,
   * DOWNLOAD, INVALID_OPTION, or the signal's reason; nothing is left behind then.
   */
  static async load(reference: string, options: LoadOptions = {}): Promise<Model> {
    if (typeof reference !== 'string' || reference === '') {
      throw invalidOption('reference', reference, "an alias, a path or 'hf:org/name[:file]'");
    }
    return new Model(loaded, await loadModel(reference, parseLoadOptions(options)));
  }

  /**
   * Starts at once. The run may be iterated for chunks of text, awaited for the result, both or neither. An abort (by
   * signal, or by leaving the loop) is no error: the result then holds what there is, with `finishReason: 'abort'`.
   * It never throws: the run rejects with INVALID_OPTION, DISPOSED, CONTEXT_OVERFLOW, LIMIT_EXCEEDED or BUSY. The prompt is
   * copied at the call; of a conversation of more than 500 messages the rest right after it.
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    return this.#start(prompt, options, {});
  }

  /**
   * Generates, runs the tools that the model calls, and goes on with their results until it calls none.
   * @param tools each with `execute`. What it throws is told to the model, and so is a call that cannot be made.
   * @param options those of `generate`, and of the loop. `required` and `{ name }` hold for the first answer alone.
   * @returns the last answer, and the whole conversation. Rejects as `generate` does.
   */
  async runTools(
    messages: readonly Message[],
    tools: readonly RunnableTool[],
    options: Omit<GenerateOptions, 'tools' | 'signal'> & RunToolsOptions = {},
  ): Promise<RunToolsResult> {
    this.#engine.throwIfDisposed();
    const generate: Generate = (all, chat) => this.#start(all, chat, {});
    return runTools(generate, readConversation(messages), tools, options);
  }

  /**
   * A conversation that remembers its messages and keeps its KV cache between turns.
   * @throws INVALID_OPTION, DISPOSED.
   */
  createSession(options: SessionOptions = {}): ChatSession {
    return this.#sessions.create(options);
  }

  /**
   * Goes on with a session that `session.save` wrote: with its history and options, and with what the cache held of it, so that
   * the next turn computes only what is new. The model has to be loaded as it was then (weights, dtype, kvDtype, device).
   * @throws MODEL_NOT_FOUND (no file), MODEL_FORMAT (no session, cut or changed), INVALID_OPTION (another model's, or one that
   * was loaded otherwise), CONTEXT_OVERFLOW (the cache has no room for it), DISPOSED.
   */
  async restoreSession(file: string, options: RestoreOptions = {}): Promise<ChatSession> {
    return this.#sessions.restore(file, options);
  }

  /**
   * Loads a LoRA adapter beside the model, for the `adapter` of `generate`, sessions, `embed`, `score` and `decide`. Nothing is
   * merged: requests with different adapters, and without one, run in the same steps, each with the bits that it has alone.
   * @param path a folder that PEFT saved (adapter_config.json, adapter_model.safetensors), or a .gguf file.
   * @throws MODEL_NOT_FOUND, MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE (DoRA, whole modules, biases and the like, by name),
   * INVALID_OPTION (it is for another model), INSUFFICIENT_MEMORY, DISPOSED.
   */
  async loadAdapter(path: string): Promise<Adapter> {
    this.#engine.throwIfDisposed();
    checkText(path, 'path');
    return this.#adapters.load(path);
  }

  /**
   * The log-likelihood of a text, each token given those before it, and its perplexity. Text beyond the context is
   * scored in windows that overlap by half.
   * @param text at least two tokens long, with the beginning-of-text token where the tokenizer adds one; ids are copied.
   * @throws INVALID_OPTION, DISPOSED, BUSY, or the signal's reason.
   */
  async score(text: string | Int32Array, options: ScoreOptions = {}): Promise<ScoreResult> {
    this.#engine.throwIfDisposed();
    requireHead(this.info, 'score');
    const { adapter: through, signal } = parseOptions(scoreRules, options, 'score') as ScoreOptions;
    const adapter = Adapter.idOf(through, this.#adapters);
    const given = readText(text, 'text');
    const ids = await this.#encoding.text(given, signal);
    if (ids.length < 2) throw invalidOption('text', `${ids.length} token(s) long`, 'at least 2 tokens long');
    this.#encoding.checkIds(ids, 'text');
    return scoreTokens(this.#engine, ids, this.info.contextLength, { adapter, signal });
  }

  /**
   * One vector a text, in their order. Texts of any lengths share steps without padding; a vector does not depend on the
   * other texts.
   * @param texts well-formed, each at least one token long.
   * @returns vectors [dimensions]; the array also says how many `tokens` it took and which texts were `shortened`.
   * @throws INVALID_OPTION, CONTEXT_OVERFLOW, UNSUPPORTED_ARCHITECTURE (the model's files name a step that is not known),
   * DISPOSED, or the signal's reason.
   */
  async embed(texts: string | readonly string[], options: EmbedOptions = {}): Promise<Embeddings> {
    this.#engine.throwIfDisposed();
    const copy = readTexts(texts, 'texts');
    const settings = parseEmbedOptions(options, this.#embedDefaults, this.info.hiddenSize);
    const embedder = {
      engine: this.#engine,
      contextLength: this.info.contextLength,
      size: this.info.hiddenSize,
      adapter: Adapter.idOf(settings.adapter, this.#adapters),
      encode: (text: string, signal?: AbortSignal) => this.tokenizer.encodeAsync(text, { signal }),
      isSpecial: (id: number) => this.tokenizer.isSpecial(id),
    };
    return embedTexts(embedder, copy, settings);
  }

  /**
   * One vector [hiddenSize] a token of a text, with its offsets in the text.
   * @param text well-formed, at least one token and at most a context long.
   * @throws INVALID_OPTION, CONTEXT_OVERFLOW, DISPOSED, or the signal's reason.
   */
  async embedTokens(text: string, options: EmbedTokensOptions = {}): Promise<TokenEmbeddings> {
    this.#engine.throwIfDisposed();
    const settings = parseEmbedTokensOptions(options);
    const given = readText(text, 'text');
    if (typeof given !== 'string') throw invalidOption('text', given, 'a string');
    const tokens = await this.tokenizer.encodeWithOffsets(given, { signal: settings.signal });
    return embedTokensOf(this.#engine, tokens, this.info.contextLength, settings);
  }

  /**
   * The token table as static vectors [hiddenSize], at the tokens' ids: words are tokens as the vocabulary spells them ('Ġking',
   * '##ing'). They are those of memory (INT8 ones dequantized), held once more as float32 and as INT8.
   * @throws INVALID_OPTION, INSUFFICIENT_MEMORY, DISPOSED, or the signal's reason.
   */
  async tokenVectors(options: TokenVectorsOptions = {}): Promise<WordVectors> {
    this.#engine.throwIfDisposed();
    return tokenVectorsOf(tokenRowsOf(this.#traced, this.tokenizer), options);
  }

  /**
   * The labels of each text, the most probable first; of a model for token classification its entities, in the text's order.
   * @param texts well-formed, each at most a context long with what the tokenizer adds.
   * @throws INVALID_OPTION (the model has no classifier), CONTEXT_OVERFLOW, DISPOSED, or the signal's reason.
   */
  classify(texts: string | readonly string[], options: ClassifyOptions = {}): Promise<Classification[][]> {
    return this.#judge.classify(texts, options);
  }

  /**
   * How well documents answer a query, the best first: by a classifier of one label (a cross-encoder), or by Qwen3-Reranker.
   * @param documents well-formed, each at most a context long with the query and what stands around both.
   * @throws INVALID_OPTION (the model is no reranker), CONTEXT_OVERFLOW, DISPOSED, or the signal's reason.
   */
  rerank(query: string, documents: readonly string[], options: RerankOptions = {}): Promise<Reranked[]> {
    return this.#judge.rerank(query, documents, options);
  }

  /**
   * How probable each of a few answers is after a prompt, in one pass over it (one for every 32 answers): the likelihoods
   * of `prompt + answer` (what `score` gives), normalised over the answers. Where one answer's tokens begin another's (1
   * and 10), the shorter one counts without the longer one.
   * @param prompt a text, to which each answer is appended as it is; a conversation or token ids, which are followed by the
   * tokens of the answer.
   * @throws INVALID_OPTION, CONTEXT_OVERFLOW, DISPOSED, or the signal's reason.
   */
  async decide(prompt: Prompt, options: ChoiceOptions): Promise<Decision<string>>;
  async decide(prompt: Prompt, options: ScoreDecisionOptions): Promise<Decision<number>>;
  async decide(prompt: Prompt, options: BooleanDecisionOptions): Promise<Decision<boolean>>;
  async decide(prompt: Prompt, options: DecideOptions): Promise<Decision<string | number | boolean>> {
    this.#engine.throwIfDisposed();
    requireHead(this.info, 'decide');
    const { answers, adapter: through, signal: given } = parseDecideOptions(options);
    const adapter = Adapter.idOf(through, this.#adapters);
    // Each answer listens: to a signal of our own, which does not warn of that.
    const signal = given && AbortSignal.any([given]);
    if (signal) setMaxListeners(0, signal);
    const texts = await this.#encoding.answers(readPrompt(prompt), answers.map(String), signal);
    const weights = await weigh(this.#engine, texts, this.info.contextLength, { adapter, signal });
    const choice = answers[weights.indexOf(Math.max(...weights))];
    const entries = answers.map((answer, i): [string, number] => [String(answer), weights[i]]);
    return { choice, probabilities: Object.fromEntries(entries) };
  }

  /**
   * Looks into the model while it computes a text: the intermediate tensors of every layer, what it expects after each token,
   * and (`lens`) what it would expect behind each layer. The layers that are traced are those that generate, with the same
   * bits. Other requests go on between two layers. Memory is that of one layer, or of a part of it, and of what is kept.
   * @param prompt with those that `generate` adds at most the context, of an encoder a step (512 with few threads).
   * @throws INVALID_OPTION, CONTEXT_OVERFLOW, INSUFFICIENT_MEMORY, DISPOSED, or the signal's reason.
   */
  async trace(prompt: Prompt, options: TraceOptions = {}): Promise<Trace> {
    this.#engine.throwIfDisposed();
    const settings = parseTraceOptions(options, this.#traced.spec);
    const ids = await this.#encoding.ids(readPrompt(prompt), settings.signal);
    return traceText(this.#traced, ids, settings, (how, watch) => this.#start(ids, how, { watch }));
  }

  /**
   * Ends running requests with DISPOSED, waits for the running step and frees everything. Idempotent; later calls of
   * other methods throw DISPOSED.
   */
  dispose(): Promise<void> {
    // Last of all, when the tokenizer's thread has ended too: what it had allocated stays resident until then.
    this.#disposed ??= Promise.all([this.#engine.dispose(), this.tokenizer.dispose()]).then(() =>
      native().releaseMemory(),
    );
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #start(prompt: Prompt, options: GenerateOptions, internals: GenerationInternals): Generation {
    let settings: GenerateSettings;
    let given: ReturnType<typeof readAnyPrompt>;
    let adapter: number | undefined;
    try {
      this.#engine.throwIfDisposed();
      requireHead(this.info, 'generate');
      settings = parseGenerateOptions(options, this.#defaults, this.info.vocabSize);
      settings.watch = internals.watch;
      adapter = Adapter.idOf(settings.prompt.adapter ?? internals.adapter, this.#adapters);
      given = readAnyPrompt(prompt);
      checkChatPrompt(given, settings.chat);
      checkPromptOptions(given, settings.prompt, settings.chat, internals.fit !== undefined);
    } catch (error) {
      return GenerationRun.failed(error, internals.onSettled);
    }
    const { guard } = settings.hooks;
    const run = launch(this.#generator, {
      settings,
      cache: internals.cache ?? { reuse: true },
      adapter,
      onSettled: guard ? undefined : internals.onSettled,
      encode: (signal) => this.#encoding.prompt(given, settings, internals, signal),
    });
    return guard ? guardedRun(run, guard, internals.onSettled) : run;
  }
}

export { logitsOf, startGeneration, tracedOf };
