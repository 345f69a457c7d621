/** `kvasir run`: completes one prompt. */
import type { Command } from 'commander';
import type { Prompt } from '../prompt.js';
import { addGenerateFlags, addLoadFlags, generateOptionsOf, loadOptionsOf } from './arguments.js';
import type { Interrupts } from './interrupt.js';
import { withModel } from './load.js';
import { say, writeJson } from './output.js';
import { readPrompt } from './prompt-input.js';
import { engineJson, generationReport } from './report.js';
import { streamText } from './stream.js';

interface RunFlags extends Record<string, unknown> {
  chat?: boolean;
  system?: string;
  json?: boolean;
}

const help = `
The prompt is continued as it stands, also with an instruct model; --chat (or --system) makes it the message of a user
and lets the model answer. The text goes to stdout while it is made, with a line break at its end; statistics go to
stderr. --json prints one object when the text is complete.`;

export function registerRun(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('run')
    .description('complete a prompt')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .argument('[prompt]', 'the text; - or nothing: read it from stdin')
    .option('--chat', "use the model's chat template")
    .option('--system <text>', 'system message; implies --chat')
    .addHelpText('after', help)
    .action((reference: string, prompt: string | undefined, flags: RunFlags) =>
      run(reference, prompt, flags, interrupts),
    );
  addGenerateFlags(addLoadFlags(command)).option('--json', 'print one JSON object');
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
  const prompt = promptOf(await readPrompt(argument, signal), flags);
  await withModel(reference, { ...loadOptions, signal }, async (model, loadMs) => {
    const result = await streamText(model.generate(prompt, { ...options, signal }), flags.json === true);
    if (interrupts.outputGone) return;
    const memory = { rssBytes: process.memoryUsage.rss(), ...model.info.memory };
    if (flags.json) await writeJson({ ...engineJson(model.info), loadMs, ...result, memory });
    if (!interrupts.outputGone) say(`\n${generationReport(result, model.info)}`);
  });
}

function promptOf(text: string, { chat, system }: RunFlags): Prompt {
  if (!chat && system === undefined) return text;
  const user = { role: 'user', content: text };
  return system === undefined ? [user] : [{ role: 'system', content: system }, user];
}
