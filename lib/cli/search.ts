/** `kvasir search`: the nearest of many vectors to each query, as JSON lines. */
import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Model } from '../model.js';
import { type SearchHit, VectorIndex } from '../vectors/vector-index.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import { UsageError } from './failure.js';
import { parseCount } from './flag-values.js';
import type { Interrupts } from './interrupt.js';
import { fileLines, groupsOf, type Item, stdinLines } from './json-lines.js';
import { withModel } from './load.js';
import { say, writeData } from './output.js';
import { milliseconds } from './report.js';

interface SearchFlags extends Record<string, unknown> {
  model?: string;
  prompt?: string;
  textPrompt?: string;
  hits: number;
  save?: string;
}

const help = `
<vectors> is a file that --save or VectorIndex.save wrote, or JSON lines, each with an "embedding" as kvasir embed prints
it; with --model lines with a "text" (or plain lines) will do. Without queries as arguments each line of stdin is one: an
array of numbers, an object with an "embedding", or with --model a text as in kvasir embed. Each query gives one line {"index",
"hits"} with its other fields; a hit has the fields of its line, "index" and "score" (the cosine), the best first.`;

/** Lines that are read, embedded and searched for at a time. */
const AT_ONCE = 512;

/** An index, and the fields of the lines that it was made of. */
interface Searched {
  index: VectorIndex;
  fields?: object[];
}

export function registerSearch(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('search')
    .description('the nearest of many vectors, exactly, as JSON lines')
    .argument('<vectors>', 'an index file, or JSON lines of vectors or texts')
    .argument('[query...]', 'texts to search for; nothing: each line of stdin')
    .option('--model <model>', 'embeds texts: alias, folder, .gguf file or hf:org/name[:file]')
    .option('-k, --hits <count>', 'of each query (default: 10)', parseCount(1), 10)
    .option('--prompt <prompt>', "for queries: name of one of the model's prompts, or a text put before each")
    .option('--text-prompt <prompt>', 'the same for the texts of <vectors>')
    .option('--save <file>', 'write the index of <vectors> to a file; nothing is searched then')
    .addHelpText('after', help)
    .action((vectors: string, queries: string[], flags: SearchFlags) =>
      search(vectors, queries, flags, interrupts),
    );
  addLoadFlags(command).option('--json', 'JSON lines, which is what it prints anyway');
}

async function search(
  vectors: string,
  queries: readonly string[],
  flags: SearchFlags,
  interrupts: Interrupts,
): Promise<void> {
  const { signal } = interrupts;
  const options = loadOptionsOf(flags);
  const { model, save } = flags;
  if (save === undefined && queries.length === 0 && process.stdin.isTTY) {
    throw new UsageError('There is no query: give some after the vectors, or lines on stdin.');
  }
  if (model === undefined) return run(undefined);
  await withModel(model, { ...options, signal }, run);

  async function run(embedder: Model | undefined): Promise<void> {
    const started = performance.now();
    const searched = await read(vectors, embedder, flags, signal);
    try {
      const { size, dimensions } = searched.index;
      const took = milliseconds(performance.now() - started);
      say(`${size} vectors of ${dimensions} dimensions in ${took}`);
      if (save !== undefined) return await searched.index.save(save);
      await answer(searched, embedder, queries, flags, interrupts);
    } finally {
      await searched.index.dispose();
    }
  }
}

/** Throws UsageError, MODEL_NOT_FOUND, MODEL_FORMAT. */
async function read(
  path: string,
  model: Model | undefined,
  { textPrompt, threads }: SearchFlags,
  signal: AbortSignal,
): Promise<Searched> {
  if (await isIndexFile(path)) return { index: await VectorIndex.load(path, { threads: threads as number }) };
  const fields: object[] = [];
  let index: VectorIndex | undefined;
  try {
    for await (const items of groupsOf(fileLines(path, signal), AT_ONCE)) {
      const vectors = await vectorsOf(items, model, { prompt: textPrompt, signal, where: path });
      index ??= new VectorIndex(vectors[0].length, { threads: threads as number });
      await index.add(vectors);
      for (const { text, fields: rest } of items) fields.push(text === undefined ? rest : { ...rest, text });
    }
  } catch (error) {
    await index?.dispose();
    throw error;
  }
  if (index === undefined) throw new UsageError(`${path} has no lines.`);
  return { index, fields };
}

async function isIndexFile(path: string): Promise<boolean> {
  const file = await open(path).catch((error: Error) => {
    throw new UsageError(`${path} cannot be read: ${error.message}`);
  });
  try {
    if (!(await file.stat()).isFile()) throw new UsageError(`${path} is no file.`);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
    return buffer.toString('latin1', 0, bytesRead) === 'KVASIRVI';
  } finally {
    await file.close();
  }
}

interface Source {
  prompt?: string;
  signal: AbortSignal;
  where: string;
}

/** Their own, or that of their text. */
async function vectorsOf(
  items: readonly Item[],
  model: Model | undefined,
  { prompt, signal, where }: Source,
): Promise<(Float32Array | readonly number[])[]> {
  const texts = items.filter(({ embedding }) => embedding === undefined).map(({ text }) => text);
  if (texts.includes(undefined)) throw new UsageError(`A line of ${where} has no "embedding" and no "text".`);
  if (texts.length > 0 && model === undefined) {
    throw new UsageError(
      `A line of ${where} is a text without an "embedding": give a --model that embeds it.`,
    );
  }
  const made = texts.length > 0 ? ((await model?.embed(texts as string[], { prompt, signal })) ?? []) : [];
  const next = made.values();
  return items.map(({ embedding }) => embedding ?? (next.next().value as Float32Array));
}

async function answer(
  { index, fields }: Searched,
  model: Model | undefined,
  queries: readonly string[],
  { hits: k, prompt }: SearchFlags,
  interrupts: Interrupts,
): Promise<void> {
  const { signal } = interrupts;
  const given = queries.map((text): Item => ({ text, fields: {} }));
  const shown = ({ index: place, id, score }: SearchHit) =>
    fields === undefined ? { index: place, id, score } : { ...fields[place], index: place, score };
  let count = 0;
  for await (const items of given.length > 0 ? [given] : groupsOf(stdinLines(signal), AT_ONCE)) {
    const where = given.length > 0 ? 'the arguments' : 'stdin';
    const vectors = await vectorsOf(items, model, { prompt, signal, where });
    const found = await Promise.all(vectors.map((vector) => index.search(vector, k, { signal })));
    const lines = items.map(({ text, fields: rest }, i) =>
      JSON.stringify({ ...rest, text, index: count + i, hits: found[i].map(shown) }),
    );
    await writeData(`${lines.join('\n')}\n`);
    count += items.length;
    if (interrupts.outputGone) return;
  }
}
