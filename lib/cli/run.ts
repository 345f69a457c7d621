/** `kvasir run`: completes one prompt. */
import { type Command, Option } from 'commander';
import { KvasirError } from '../errors.js';
import type { Model } from '../model.js';
import type { Prompt } from '../prompt.js';
import { adapterOf } from './adapter-flag.js';
import { addGenerateFlags, addLoadFlags, generateOptionsOf, loadOptionsOf } from './arguments.js';
import type { Interrupts } from './interrupt.js';
import { addDraftFlags, type DraftFlags, drafted, withDraft } from './draft.js';
import { withModel } from './load.js';
import { say, writeJson } from './output.js';
import { readPrompt } from './prompt-input.js';
import { engineJson, generationReport } from './report.js';
import { streamText, writeOthers } from './stream.js';

interface RunFlags extends DraftFlags, Record<string, unknown> {
  raw?: boolean;
  system?: string;
  overflow?: 'error' | 'truncate-middle';
  json?: boolean;
}

const help = `
A model with a chat template gets the prompt as the message of a user, and answers; --raw continues it as it stands, which is
what other models do. The text goes to stdout while it is made, with a line break at its end; statistics go to
stderr. --json prints one object when the text is complete.`;

export function registerRun(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('run')
    .description('complete a prompt')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .argument('[prompt]', 'the text; - or nothing: read it from stdin')
    .option('--raw', 'continue the prompt as it stands, without the chat template')
    .addOption(
      new Option('--system <text>', 'system message, where the model has a chat template').conflicts('raw'),
    )
    .addOption(
      new Option('--overflow <how>', 'when the prompt does not fit the context (default: error)').choices([
        'error',
        'truncate-middle',
      ]),
    )
    .addHelpText('after', help)
    .action((reference: string, prompt: string | undefined, flags: RunFlags) =>
      run(reference, prompt, flags, interrupts),
    );
  addDraftFlags(addGenerateFlags(addLoadFlags(command))).option('--json', 'print one JSON object');
}

async function run(
  reference: string,
  argument: string | undefined,
  flags: RunFlags,
  interrupts: Interrupts,
): Promise<void> {
  const { signal } = interrupts;
  const loadOptions = loadOptionsOf(flags);
  const options = generateOptionsOf(flags);
  const text = await readPrompt(argument, signal);
  const loading = { ...loadOptions, signal };
  await withDraft(flags, loading, (draft) =>
    withModel(reference, loading, async (model, loadMs) => {
      const prompt = promptOf(text, flags, model);
      const adapter = await adapterOf(model, flags);
      const all = { ...drafted(options, draft), ...adapter, overflow: flags.overflow, signal };
      const result = await streamText(model.generate(prompt, all), flags.json === true);
      if (!flags.json) await writeOthers(result);
      if (interrupts.outputGone) return;
      const memory = { rssBytes: process.memoryUsage.rss(), ...model.info.memory };
      if (flags.json) await writeJson({ ...engineJson(model.info), loadMs, ...result, memory });
      if (!interrupts.outputGone) say(`\n${generationReport(result, model.info)}`);
    }),
  );
}

/** Throws INVALID_OPTION for a system message that nothing would read. */
function promptOf(text: string, { raw, system }: RunFlags, { tokenizer, info }: Model): Prompt {
  const user = { role: 'user', content: text };
  if (tokenizer.chatTemplate !== undefined && !raw) {
    return system === undefined ? [user] : [{ role: 'system', content: system }, user];
  }
  if (system === undefined) return text;
  throw new KvasirError('INVALID_OPTION', `${info.name} has no chat template, which --system needs.`);
}
