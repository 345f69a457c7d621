/** `kvasir bench`: how fast the public engine reads a prompt and writes on. */
import type { Command } from 'commander';
import { KvasirError } from '../errors.js';
import type { Model } from '../model.js';
import type { LoadOptions } from '../options.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import { type BenchWork, type Measurement, measure } from './bench-measure.js';
import { UsageError } from './failure.js';
import { parseCount } from './flag-values.js';
import { type Inspection, inspectModel, predictMemory } from './inspect.js';
import type { Interrupts } from './interrupt.js';
import { withModel } from './load.js';
import { native } from '../native.js';
import { type ModelSpec, specToJson } from '../spec.js';
import { writeData, writeJson } from './output.js';
import { createProgress } from './progress.js';
import { columns, size, milliseconds } from './report.js';

const help = `
Prompts are random token ids from a fixed seed. Sampling (temperature 0.8, top-k 40, top-p 0.95) is part of the time,
the end of a text is ignored, and no prompt finds another one's cache. Prefill: all prompts of the batch, until each has
its first token. Decode: after a prompt of --depth tokens (at least one), from the first token of all sequences on.
Speeds are medians over the repetitions, and add up all sequences; bytes per token are what one token reads from memory
on average, the weights shared by the batch.`;

interface BenchFlags extends Record<string, unknown> {
  prefill: number;
  tokens: number;
  depth: number;
  batch: number;
  repetitions: number;
  json?: boolean;
}

/** Sequences that the engine puts into one step. */
const mostSequences = 64;

export function registerBench(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('bench')
    .description('prefill and decode throughput')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .option('-p, --prefill <tokens>', 'length of the prompt', parseCount(1), 512)
    .option('-n, --tokens <count>', 'tokens to decode', parseCount(1), 128)
    .option('--depth <tokens>', 'tokens in the context before decode is timed', parseCount(0), 0)
    .option('-b, --batch <count>', 'sequences at once', parseCount(1), 1)
    .option('-r, --repetitions <count>', 'samples of each', parseCount(1), 5)
    .addHelpText('after', help)
    .action((reference: string, flags: BenchFlags) => bench(reference, flags, interrupts));
  addLoadFlags(command, ['device', 'gpuLayers', 'dtype', 'kvDtype', 'threads']).option(
    '--json',
    'print one JSON object',
  );
}

async function bench(reference: string, flags: BenchFlags, { signal }: Interrupts): Promise<void> {
  const options = loadOptionsOf(flags);
  if (flags.batch > mostSequences) throw new UsageError(`--batch may be at most ${mostSequences}.`);
  const work: BenchWork = {
    prefillTokens: flags.prefill,
    decodeTokens: flags.tokens,
    // A sequence needs one token to go on from.
    promptTokens: Math.max(1, flags.depth),
    batch: flags.batch,
    repetitions: flags.repetitions,
  };
  const inspection = await inspectModel(reference, signal);
  const load = { ...options, ...cacheFor(work, inspection), signal };
  await withModel(reference, load, async (model, loadMs) => {
    const progress = createProgress();
    const measured = await measure(model, work, signal, (done, total) =>
      progress.count('measuring', done, total),
    ).finally(() => progress.stop());
    const report = describe(model, inspection, work, flags.depth, loadMs, measured);
    if (flags.json) await writeJson(report);
    else await writeData(`${layout(report)}\n`);
  });
}

/** Room for all sequences of the batch in whole pages. Throws CONTEXT_OVERFLOW. */
export function cacheFor(work: BenchWork, { description }: Inspection): LoadOptions {
  const { maxPositions } = description.spec;
  const needed = Math.max(work.prefillTokens, work.promptTokens + work.decodeTokens);
  if (needed > maxPositions) {
    throw new KvasirError(
      'CONTEXT_OVERFLOW',
      `This benchmark needs ${needed} positions, but the model has ${maxPositions}: lower -p, -n or --depth.`,
      { details: { tokens: needed, limit: maxPositions } },
    );
  }
  // A multiple of every page size that is in use.
  const pages = 256;
  return { contextLength: needed, kvCapacity: work.batch * Math.ceil(needed / pages) * pages };
}

function describe(
  model: Model,
  inspection: Inspection,
  work: BenchWork,
  depth: number,
  loadMs: number,
  measured: Measurement,
) {
  const { name, dtype, device, kernels, threads } = model.info;
  return {
    model: name,
    dtype,
    device,
    kernels,
    threads,
    loadMs,
    rssBytes: process.memoryUsage.rss(),
    prefill: {
      tokens: work.prefillTokens,
      tokensPerSecond: median(measured.prefill),
      samples: measured.prefill,
    },
    decode: {
      tokens: work.decodeTokens,
      depth,
      batch: work.batch,
      bytesPerToken: bytesPerToken(model, inspection, work),
      tokensPerSecond: median(measured.decode),
      samples: measured.decode,
    },
  };
}

/** What one decoded token reads from memory on average; a step reads the weights once for the whole batch. */
function bytesPerToken({ info }: Model, { description }: Inspection, work: BenchWork) {
  const { dtype, kvDtype, contextLength, kvCapacity, threads, memory } = info;
  const options = { dtype, kvDtype, contextLength, kvCapacity, threads };
  // Of an embedding that is not the output layer too, and of positions, a step reads single rows. The two tables of
  // token rows have one size, so leaving out the output layer takes off what is not read.
  const read =
    predictMemory(description, options, ['lm_head.weight', 'lm_head.blocks']).weights -
    lookedUpBytes(description.spec);
  const scales = Math.round(memory.scales * (read / memory.weights));
  // Step i of n, from 1 on, attends to the prompt and i tokens.
  const positions = work.promptTokens + (work.decodeTokens + 1) / 2;
  return {
    weights: Math.round((read - scales) / work.batch),
    scales: Math.round(scales / work.batch),
    kv: Math.round(info.kvBytesPerToken * positions),
  };
}

/** Of the float32 tables of which a step reads single rows. */
function lookedUpBytes(spec: ModelSpec): number {
  const tables = native()
    .tensorsOf(specToJson(spec))
    .filter(({ name }) => name === 'embed.positions' || name === 'embed.types');
  return tables.reduce((sum, { rows, columns }) => sum + 4 * rows * columns, 0);
}

function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function layout(report: ReturnType<typeof describe>): string {
  const { prefill, decode } = report;
  const row = (
    name: string,
    tokens: number,
    depth: number,
    { tokensPerSecond, samples }: typeof prefill | typeof decode,
  ) => [
    name,
    String(tokens),
    String(depth),
    ...[tokensPerSecond, Math.min(...samples), Math.max(...samples)].map((v) => v.toFixed(1)),
  ];
  const { weights, scales, kv } = decode.bytesPerToken;
  return [
    columns([
      ['model', report.model],
      ['engine', `${report.dtype}, ${report.kernels} kernels, ${report.threads} threads`],
      ['device', report.device],
      ['load', milliseconds(report.loadMs)],
      ['memory', `${size(report.rssBytes)} resident`],
      ['a token reads', `weights ${size(weights)}, scales ${size(scales)}, KV cache ${size(kv)}`],
    ]),
    columns(
      [row('prefill', prefill.tokens, 0, prefill), row('decode', decode.tokens, decode.depth, decode)],
      [decode.batch > 1 ? `batch ${decode.batch}` : '', 'tokens', 'depth', 'tokens/s', 'least', 'most'],
    ),
  ].join('\n\n');
}
