/** `kvasir classify`: labels or entities of each text, as JSON lines. */
import { type Command, Option } from 'commander';
import type { ClassifyOptions } from '../classify/classify.js';
import type { Model } from '../model.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import { UsageError } from './failure.js';
import { parseCount } from './flag-values.js';
import type { Interrupts } from './interrupt.js';
import { groupsOf, type Item, stdinLines, textOf } from './json-lines.js';
import { withModel } from './load.js';
import { writeData } from './output.js';

interface ClassifyFlags extends Record<string, unknown> {
  topK?: number;
  aggregation?: ClassifyOptions['aggregation'];
}

const help = `
Each text gives one line {"index", "text", "labels": [{"label", "score"}]}, the most probable first; of a model for token
classification "labels" are its entities, with "start", "end" and "text". Without texts as arguments each line of stdin is
one, as in kvasir embed.`;

/** Lines of stdin that are classified at a time. */
const AT_ONCE = 256;

export function registerClassify(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('classify')
    .description('labels of texts, as JSON lines')
    .argument('<model>', 'one with a classifier: folder, or hf:org/name')
    .argument('[text...]', 'the texts; nothing: each line of stdin')
    .option('--top-k <count>', 'labels of each text (default: all)', parseCount(1))
    .addOption(
      new Option(
        '--aggregation <how>',
        'of token classification: join tokens (simple, the default) or not',
      ).choices(['none', 'simple']),
    )
    .addHelpText('after', help)
    .action((reference: string, texts: string[], flags: ClassifyFlags) =>
      classify(reference, texts, flags, interrupts),
    );
  addLoadFlags(command).option('--json', 'JSON lines, which is what it prints anyway');
}

async function classify(
  reference: string,
  texts: readonly string[],
  flags: ClassifyFlags,
  interrupts: Interrupts,
): Promise<void> {
  const { signal } = interrupts;
  const loadOptions = loadOptionsOf(flags);
  const { topK, aggregation } = flags;
  if (texts.length === 0 && process.stdin.isTTY) {
    throw new UsageError('There is no text: give some after the model, or lines on stdin.');
  }
  await withModel(reference, { ...loadOptions, signal }, async (model) => {
    const given = texts.map((text): Item => ({ text, fields: {} }));
    let count = 0;
    for await (const items of given.length > 0 ? [given] : groupsOf(stdinLines(signal), AT_ONCE)) {
      await write(model, items, count, { topK, aggregation, signal });
      count += items.length;
      if (interrupts.outputGone) return;
    }
  });
}

async function write(
  model: Model,
  items: readonly Item[],
  first: number,
  options: ClassifyOptions,
): Promise<void> {
  const found = await model.classify(items.map(textOf), options);
  const lines = items.map(({ text, fields }, i) =>
    JSON.stringify({ index: first + i, ...fields, text, labels: found[i] }),
  );
  await writeData(`${lines.join('\n')}\n`);
}
