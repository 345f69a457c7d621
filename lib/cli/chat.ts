/** `kvasir chat`: a conversation in the terminal, or with lines from a pipe. */
import type { Command } from 'commander';
import type { GenerationResult } from '../engine/run.js';
import { KvasirError } from '../errors.js';
import type { Model } from '../model.js';
import type { GenerateOptions } from '../options.js';
import type { ChatSession } from '../session.js';
import { addGenerateFlags, addLoadFlags, generateOptionsOf, loadOptionsOf } from './arguments.js';
import { reportFailure } from './failure.js';
import type { Interrupts } from './interrupt.js';
import { Lines } from './lines.js';
import { withModel } from './load.js';
import { say, writeJson } from './output.js';
import { engineJson, milliseconds, rate } from './report.js';
import { streamText } from './stream.js';

interface ChatFlags extends Record<string, unknown> {
  system?: string;
  json?: boolean;
}

const help = `
Every line is one message. Ctrl-C stops an answer, and leaves at the prompt. Inside the chat:
  /reset  forget the conversation
  /help   list these
  /exit   leave (so does the end of the input)
--json prints one object at the end, with all turns.`;

const commands = '/reset forgets the conversation, /exit leaves, /help says this.';

export function registerChat(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('chat')
    .description('a conversation in the terminal')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .option('--system <text>', 'system message')
    .addHelpText('after', help)
    .action((reference: string, flags: ChatFlags) => chat(reference, flags, interrupts));
  addGenerateFlags(addLoadFlags(command)).option('--json', 'print one JSON object at the end');
}

async function chat(reference: string, flags: ChatFlags, interrupts: Interrupts): Promise<void> {
  const loadOptions = loadOptionsOf(flags);
  const options = generateOptionsOf(flags);
  await withModel(reference, { ...loadOptions, signal: interrupts.signal }, async (model) => {
    if (model.tokenizer.chatTemplate === undefined) {
      throw new KvasirError(
        'INVALID_OPTION',
        `${model.info.name} has no chat template, so it cannot converse: complete text with "kvasir run".`,
      );
    }
    const lines = new Lines(interrupts);
    try {
      const turns = await new Conversation(model, flags, options, interrupts, lines).hold();
      if (flags.json && !interrupts.outputGone) await writeJson({ ...engineJson(model.info), turns });
    } finally {
      lines.close();
    }
  });
}

interface Turn extends GenerationResult {
  user: string;
}

class Conversation {
  readonly #turns: Turn[] = [];
  #session: ChatSession;

  constructor(
    private readonly model: Model,
    private readonly flags: ChatFlags,
    private readonly options: GenerateOptions,
    private readonly interrupts: Interrupts,
    private readonly lines: Lines,
  ) {
    this.#session = model.createSession({ system: flags.system });
  }

  /** Until /exit, the end of the input, or Ctrl-C at the prompt. */
  async hold(): Promise<Turn[]> {
    const { lines } = this;
    if (lines.interactive) say(`${this.model.info.name}: ${commands}`);
    for (;;) {
      const line = (await lines.next('> '))?.trim();
      if (line === undefined || line === '/exit') return this.#turns;
      if (line === '') continue;
      if (line.startsWith('/')) this.#obey(line);
      else await this.#answer(line);
    }
  }

  #obey(command: string): void {
    if (command === '/reset') {
      this.#session.dispose();
      this.#session = this.model.createSession({ system: this.flags.system });
      say('The conversation is forgotten.');
    } else if (command === '/help') {
      say(commands);
    } else {
      say(`There is no ${command}: ${commands}`);
    }
  }

  async #answer(user: string): Promise<void> {
    const { interrupts, flags } = this;
    const stop = new AbortController();
    const watch = interrupts.handle(() => stop.abort());
    const signal = AbortSignal.any([stop.signal, interrupts.signal]);
    try {
      const run = this.#session.send(user, { ...this.options, signal });
      const result = await streamText(run, flags.json === true);
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
}

function turnReport({ usage, timings, finishReason }: GenerationResult): string {
  const speed = `${usage.completionTokens} tokens, ${rate(timings.decodeTokensPerSecond)}`;
  const why =
    finishReason === 'stop' ? '' : `, ${finishReason === 'abort' ? 'stopped' : 'cut at its length'}`;
  return `(${speed}, first after ${milliseconds(timings.ttftMs)}${why})`;
}
