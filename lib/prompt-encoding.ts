/** From what a caller gave as a prompt to token ids, off the JS thread, with what a model's context allows. */
import { encodeBadWords } from './bad-words.js';
import { overflowError } from './engine/engine.js';
import type { Launch } from './engine/launch.js';
import { invalidOption } from './given.js';
import type { ModelInfo } from './info.js';
import type { GenerateSettings } from './options.js';
import { ConversationFit, cutTokens } from './overflow.js';
import { LongConversation, type Message, type Prompt, type readAnyPrompt } from './prompt.js';
import type { GenerationInternals } from './session.js';
import type { Tokenizer } from './tokenizer/tokenizer.js';
import { prepareChat } from './tools/chat.js';

export class PromptEncoding {
  readonly #tokenizer: Tokenizer;
  readonly #info: Pick<ModelInfo, 'contextLength' | 'vocabSize'>;

  constructor(tokenizer: Tokenizer, info: Pick<ModelInfo, 'contextLength' | 'vocabSize'>) {
    this.#tokenizer = tokenizer;
    this.#info = info;
  }

  /** Of a text; ids are what they are. */
  async text(text: string | Int32Array, signal: AbortSignal | undefined): Promise<Int32Array> {
    if (text instanceof Int32Array) return text;
    return this.#tokenizer.encodeAsync(text, { signal });
  }

  /** Of a prompt by itself. Throws INVALID_OPTION. */
  async ids(prompt: Prompt, signal: AbortSignal | undefined): Promise<Int32Array> {
    const isText = typeof prompt === 'string' || prompt instanceof Int32Array;
    const ids = isText
      ? await this.text(prompt, signal)
      : await this.#tokenizer.encodeChat(prompt, { signal });
    this.checkIds(ids, 'prompt');
    return ids;
  }

  /** Throws INVALID_OPTION. */
  checkIds(ids: Int32Array, name: string): void {
    const { vocabSize } = this.#info;
    const wrong = ids.find((id) => id < 0 || id >= vocabSize);
    if (wrong !== undefined) throw invalidOption(name, wrong, `token ids from 0 to ${vocabSize - 1}`);
  }

  /** What `generate` needs of its prompt. */
  async prompt(
    given: ReturnType<typeof readAnyPrompt>,
    settings: GenerateSettings,
    { tools, template, variables, fit }: GenerationInternals,
    signal: AbortSignal,
  ): ReturnType<Launch['encode']> {
    await encodeBadWords(settings.sampling, this.#tokenizer, signal);
    const { overflow = 'error', answerPrefix = '' } = settings.prompt;
    const { contextLength } = this.#info;
    const most = contextLength - Math.min(settings.maxTokens, Math.floor(contextLength / 2));
    if (typeof given === 'string' && overflow === 'error') this.#checkFits(given);
    if (typeof given === 'string' || given instanceof Int32Array)
      return cutTokens(await this.text(given, signal), most, overflow);
    const messages = given instanceof LongConversation ? await given.read() : given;
    const chat = { ...settings.chat, tools: settings.chat.tools ?? tools };
    // Most answers begin with nothing: no question to the text thread then.
    const prefix =
      answerPrefix === ''
        ? undefined
        : await this.#tokenizer.encodeAsync(answerPrefix, { addSpecialTokens: false, signal });
    const prepare = async (told: readonly Message[]) => {
      const request = { messages: told, settings: chat, template, variables, signal };
      const prepared = await prepareChat(this.#tokenizer, request);
      if (prefix === undefined) return prepared;
      return { ...prepared, ids: Int32Array.from([...prepared.ids, ...prefix]) };
    };
    return (fit ?? new ConversationFit(overflow)).fit(messages, most, prepare);
  }

  /** Token ids of the prompt and each answer. */
  async answers(
    prompt: Prompt,
    answers: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Int32Array[]> {
    if (typeof prompt === 'string') {
      return Promise.all(answers.map((answer) => this.text(prompt + answer, signal)));
    }
    const start = await this.ids(prompt, signal);
    return Promise.all(
      answers.map(async (answer) => {
        const ids = await this.#tokenizer.encodeAsync(answer, { addSpecialTokens: false, signal });
        return Int32Array.from([...start, ...ids]);
      }),
    );
  }

  /** What is too long by its length alone need not be encoded. Throws CONTEXT_OVERFLOW. */
  #checkFits(text: string): void {
    const { contextLength } = this.#info;
    const tokens = this.#tokenizer.leastTokens(text);
    if (tokens > contextLength)
      throw overflowError(tokens, contextLength, 'the context', 'contextLength', true);
  }
}
