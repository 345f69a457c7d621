/** `kvasir chat`: a conversation in the terminal, or with lines from a pipe. */
import type { Command } from 'commander';
import type { Generation, GenerationResult } from '../engine/run.js';
import { KvasirError } from '../errors.js';
import type { Model } from '../model.js';
import type { GenerateOptions } from '../options.js';
import { adapterOf } from './adapter-flag.js';
import type { DraftOptions } from '../speculation/options.js';
import { addGenerateFlags, addLoadFlags, generateOptionsOf, loadOptionsOf } from './arguments.js';
import { type ChatState, commandHelp, obey } from './chat-commands.js';
import { Conversation } from './conversation.js';
import { addDraftFlags, type DraftFlags, drafted, withDraft } from './draft.js';
import { reportFailure } from './failure.js';
import type { Interrupts } from './interrupt.js';
import { Lines } from './lines.js';
import { withModel } from './load.js';
import { say, tell, writeJson } from './output.js';
import { engineJson, milliseconds, rate } from './report.js';
import { streamText } from './stream.js';
import { WordWrap } from './word-wrap.js';

interface ChatFlags extends DraftFlags, Record<string, unknown> {
  system?: string;
  json?: boolean;
}

const help = `
Every line is one message, and so is what is pasted. A line that ends with a backslash goes on in the next one, and """
begins and ends a message of several lines. Ctrl-C stops an answer, and leaves at the prompt. When the context is full the
oldest turns leave it. Inside the chat:
${commandHelp.replaceAll(/^/gm, '  ')}
What was typed is kept for the arrow keys in KVASIR_CHAT_HISTORY (default: ~/.local/state/kvasir/chat-history; off: nowhere).
--json prints one object at the end, with all turns.`;

const hint = '/help lists the commands, /exit leaves.';

export function registerChat(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('chat')
    .description('a conversation in the terminal')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .option('--system <text>', 'system message')
    .addHelpText('after', help)
    .action((reference: string, flags: ChatFlags) => chat(reference, flags, interrupts));
  addDraftFlags(addGenerateFlags(addLoadFlags(command))).option('--json', 'print one JSON object at the end');
}

async function chat(reference: string, flags: ChatFlags, interrupts: Interrupts): Promise<void> {
  const loadOptions = loadOptionsOf(flags);
  const options = generateOptionsOf(flags);
  const loading = { ...loadOptions, signal: interrupts.signal };
  await withDraft(flags, loading, (draft) =>
    withModel(reference, loading, async (model) => {
      if (model.tokenizer.chatTemplate === undefined) {
        throw new KvasirError(
          'INVALID_OPTION',
          `${model.info.name} has no chat template, so it cannot converse: complete text with "kvasir run".`,
        );
      }
      const lines = new Lines(interrupts);
      try {
        const adapter = await adapterOf(model, flags);
        const turns = await new Chat(
          model,
          flags,
          { ...options, ...adapter },
          interrupts,
          lines,
          draft,
        ).hold();
        if (flags.json && !interrupts.outputGone) await writeJson({ ...engineJson(model.info), turns });
      } finally {
        lines.close();
      }
    }),
  );
}

interface Turn extends GenerationResult {
  user: string;
}

class Chat {
  readonly #turns: Turn[] = [];
  readonly #state: ChatState;

  constructor(
    private readonly model: Model,
    private readonly flags: ChatFlags,
    options: GenerateOptions,
    private readonly interrupts: Interrupts,
    private readonly lines: Lines,
    private readonly draft: DraftOptions | undefined,
  ) {
    this.#state = { conversation: new Conversation(model, flags.system), options: { ...options } };
  }

  /** Until /exit, the end of the input, or Ctrl-C at the prompt. */
  async hold(): Promise<Turn[]> {
    const { lines } = this;
    if (lines.interactive) say(`${this.model.info.name}: ${hint}`);
    for (;;) {
      const message = (await lines.next('> '))?.trim();
      if (message === undefined || message === '/exit') return this.#turns;
      if (message === '') continue;
      if (!message.startsWith('/') || message.startsWith('//')) {
        const text = message.replace(/^\/\//, '/');
        await this.#answer(text, (options) => this.#state.conversation.send(text, options));
        continue;
      }
      const outcome = await obey(message, this.#state);
      if (outcome.say !== undefined) tell(outcome.say);
      if (outcome.retry === undefined) continue;
      await this.#answer(outcome.retry, (options) => this.#state.conversation.retry(options));
    }
  }

  async #answer(user: string, start: (options: GenerateOptions) => Generation): Promise<void> {
    const { interrupts, flags } = this;
    const stop = new AbortController();
    const watch = interrupts.handle(() => stop.abort());
    const signal = AbortSignal.any([stop.signal, interrupts.signal]);
    try {
      const run = start({ ...drafted(this.#state.options, this.draft), signal });
      const result = await streamText(run, flags.json === true, this.#wrap());
      this.#turns.push({ user, ...result });
      if (!interrupts.outputGone) say(turnReport(result));
    } catch (error) {
      // At a terminal the conversation can go on, after /reset for example.
      if (!this.lines.interactive || !(error instanceof KvasirError)) throw error;
      await reportFailure(error, false);
    } finally {
      watch.done();
    }
  }

  #wrap(): WordWrap | undefined {
    return process.stdout.isTTY ? new WordWrap(() => process.stdout.columns || 80) : undefined;
  }
}

function turnReport({ usage, timings, finishReason }: GenerationResult): string {
  const speed = `${usage.completionTokens} tokens, ${rate(timings.decodeTokensPerSecond)}`;
  const why =
    finishReason === 'stop' ? '' : `, ${finishReason === 'abort' ? 'stopped' : 'cut at its length'}`;
  const { droppedTokens = 0 } = usage;
  const left = droppedTokens > 0 ? `; ${droppedTokens} tokens of old turns left the context` : '';
  return `(${speed}, first after ${milliseconds(timings.ttftMs)}${why}${left})`;
}
