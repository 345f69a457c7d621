/** `kvasir rerank`: documents by how well they answer a query, as JSON lines. */
import type { Command } from 'commander';
import type { RerankOptions } from '../classify/rerank.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import { UsageError } from './failure.js';
import { parseCount } from './flag-values.js';
import type { Interrupts } from './interrupt.js';
import { groupsOf, type Item, stdinLines, textOf } from './json-lines.js';
import { withModel } from './load.js';
import { writeData } from './output.js';

interface RerankFlags extends Record<string, unknown> {
  topK?: number;
  instruction?: string;
  raw?: boolean;
}

const help = `
Each document gives one line {"index", "score", "text"}, the best first; "index" is its place among the documents. Without
documents as arguments each line of stdin is one: a text, a JSON string, or an object with "text", which keeps its other fields.`;

export function registerRerank(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('rerank')
    .description('documents by how well they answer a query, as JSON lines')
    .argument('<model>', 'a cross-encoder or Qwen3-Reranker: folder, .gguf file or hf:org/name[:file]')
    .argument('<query>', 'what is asked')
    .argument('[document...]', 'the documents; nothing: each line of stdin')
    .option('--top-k <count>', 'print the best so many (default: all)', parseCount(1))
    .option('--instruction <text>', 'what documents are judged by, of Qwen3-Reranker')
    .option('--raw', "the classifier's logits as they are")
    .addHelpText('after', help)
    .action((reference: string, query: string, documents: string[], flags: RerankFlags) =>
      rerank({ reference, query, documents }, flags, interrupts),
    );
  addLoadFlags(command).option('--json', 'JSON lines, which is what it prints anyway');
}

interface Task {
  reference: string;
  query: string;
  documents: readonly string[];
}

async function rerank(
  { reference, query, documents }: Task,
  flags: RerankFlags,
  interrupts: Interrupts,
): Promise<void> {
  const { signal } = interrupts;
  const loadOptions = loadOptionsOf(flags);
  const { topK, instruction, raw } = flags;
  const options: RerankOptions = { topK, instruction, raw, signal };
  if (documents.length === 0 && process.stdin.isTTY) {
    throw new UsageError('There is no document: give some after the query, or lines on stdin.');
  }
  await withModel(reference, { ...loadOptions, signal }, async (model) => {
    const items: Item[] = documents.map((text) => ({ text, fields: {} }));
    // All must be there before the first can be printed.
    if (items.length === 0) {
      for await (const group of groupsOf(stdinLines(signal), 1024)) items.push(...group);
    }
    const ranked = await model.rerank(query, items.map(textOf), options);
    const lines = ranked.map(({ index, score }) => {
      const { text, fields } = items[index];
      return `${JSON.stringify({ ...fields, index, score, text })}\n`;
    });
    await writeData(lines.join(''));
  });
}
