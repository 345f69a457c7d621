/** `kvasir embed`: a vector for each text, as JSON lines. */
import { type Command, Option } from 'commander';
import type { EmbedOptions } from '../embed/embed-options.js';
import { poolings } from '../embed/pooling.js';
import type { Model } from '../model.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import { UsageError } from './failure.js';
import { parseCount } from './flag-values.js';
import type { Interrupts } from './interrupt.js';
import { groupsOf, type Item, stdinLines, textOf } from './json-lines.js';
import { withModel } from './load.js';
import { say, writeData } from './output.js';
import { milliseconds, rate } from './report.js';

interface EmbedFlags extends Record<string, unknown> {
  pooling?: EmbedOptions['pooling'];
  normalize: boolean;
  dimensions?: number;
  prompt?: string;
  overflow?: EmbedOptions['overflow'];
}

const help = `
Each text gives one line {"index", "text", "embedding"}. Without texts as arguments each line of stdin is one: a JSON string,
an object with "text" (which keeps its other fields, such as an "id"), or else the line as it stands.`;

/** Lines of stdin that are embedded at a time. */
const AT_ONCE = 512;
export function registerEmbed(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('embed')
    .description('vectors of texts, as JSON lines')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .argument('[text...]', 'the texts; nothing: each line of stdin')
    .addOption(new Option('--pooling <kind>', "default: the model's own, or else mean").choices(poolings))
    .option('--no-normalize', 'vectors as they are (default: as the model says, or else of length 1)')
    .addOption(new Option('--dimensions <count>', 'keep so many leading components').argParser(parseCount(1)))
    .option('--prompt <prompt>', "name of one of the model's prompts, or a text put before each text")
    .addOption(
      new Option('--overflow <what>', 'texts beyond the context (default: error)').choices([
        'error',
        'truncate',
        'chunk',
      ]),
    )
    .addHelpText('after', help)
    .action((reference: string, texts: string[], flags: EmbedFlags) =>
      embed(reference, texts, flags, interrupts),
    );
  addLoadFlags(command).option('--json', 'JSON lines, which is what it prints anyway');
}

async function embed(
  reference: string,
  texts: readonly string[],
  flags: EmbedFlags,
  interrupts: Interrupts,
): Promise<void> {
  const { signal } = interrupts;
  const loadOptions = loadOptionsOf(flags);
  if (texts.length === 0 && process.stdin.isTTY) {
    throw new UsageError('There is no text: give some after the model, or lines on stdin.');
  }
  await withModel(reference, { ...loadOptions, signal }, async (model) => {
    const started = performance.now();
    const given = texts.map((text) => ({ text, fields: {} }));
    let [count, tokens] = [0, 0];
    for await (const items of given.length > 0 ? [given] : groupsOf(stdinLines(signal), AT_ONCE)) {
      tokens += await write(model, items, count, { ...optionsOf(flags), signal });
      count += items.length;
      if (interrupts.outputGone) return;
    }
    const ms = performance.now() - started;
    say(`${count} texts, ${tokens} tokens in ${milliseconds(ms)}, ${rate((1000 * tokens) / ms)}`);
  });
}

function optionsOf({ pooling, normalize, dimensions, prompt, overflow }: EmbedFlags): EmbedOptions {
  // The flag can only turn it off.
  return { pooling, normalize: normalize ? undefined : false, dimensions, prompt, overflow };
}

/** Returns how many tokens the texts have. */
async function write(
  model: Model,
  items: readonly Item[],
  first: number,
  options: EmbedOptions,
): Promise<number> {
  const vectors = await model.embed(items.map(textOf), options);
  const lines = items.map(({ text, fields }, i) =>
    JSON.stringify({ index: first + i, ...fields, text, embedding: Array.from(vectors[i]) }),
  );
  await writeData(`${lines.join('\n')}\n`);
  return vectors.tokens;
}
