/** `kvasir compare`: what INT8 gains and costs against FP32. */
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { compare, comparisonPage } from '../compare/index.js';
import type { CompareOptions, CompareProgress } from '../compare/options.js';
import type { CompareReport } from '../compare/report.js';
import { KvasirError } from '../errors.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import { layoutComparison } from './compare-layout.js';
import { FAILED, UsageError } from './failure.js';
import { parseCount, parseNumber } from './flag-values.js';
import type { Interrupts } from './interrupt.js';
import { tell, writeData, writeJson } from './output.js';
import { reservePage } from './page-file.js';
import { createProgress, type ProgressDisplay } from './progress.js';

const help = `
Speed: both modes in memory, in turns (ABBA) of short samples, seeded random prompts, sampling included; medians, and the
typical ratio of neighbours with a 95 % bootstrap interval. It goes on for a minute, or until the intervals are within 2 %.
Time to first token and prefill stand for prompts of 512 tokens, decode for the shortest prompt.
Quality: the protocol of llama.cpp's llama-perplexity --kl-divergence. The text is cut into windows of 512 tokens, each
fed alone; its second half is scored. KL is in nats, from FP32 to INT8.
Layers: over 256 tokens, how much the output loses when only one layer is INT8, and the error of each linear. What is
worth keeping in FP32 goes into Model.load's keepFp32.
Memory: each mode alone in a process of its own, with a full context of 512 tokens.

Exit status 1 when --max-kl or --min-speedup is not met. Ctrl-C prints what there is.`;

const partNames = ['speed', 'quality', 'layers', 'memory'] as const;
type Part = (typeof partNames)[number];

interface CompareFlags extends Record<string, unknown> {
  text?: string;
  windows?: number;
  prompts?: number[];
  only?: Part[];
  html?: string;
  sensitivity?: 'layer' | 'full';
  keepFp32?: string[];
  search?: boolean;
  maxKl?: number;
  minSpeedup?: number;
  json?: boolean;
}

export function registerCompare(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('compare')
    .description('FP32 against INT8: speed, memory and quality')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .option('--text <file>', 'over which quality is compared (default: one that comes with the package)')
    .option('--windows <count>', 'windows of 512 tokens of it (default: 24)', parseCount(1))
    .option(
      '-p, --prompts <lengths>',
      'prompt lengths, such as 16,512 (default: 16,128,512,2048)',
      parseLengths,
    )
    .option('--only <parts>', 'of speed,quality,layers,memory (default: all of them)', parseParts)
    .addOption(
      new Option('--sensitivity <kind>', 'rank layers, or every linear by itself').choices(['layer', 'full']),
    )
    .option(
      '--keep-fp32 <linears>',
      'linears of INT8 that stay FP32, such as layers.0.down,layers.3',
      parseNames,
    )
    .option('--search', 'where --max-kl is not met, look for the smallest --keep-fp32 that helps')
    .option('--html <file>', 'write the report as one HTML file with charts')
    .option('--max-kl <nats>', 'fail when the mean KL is above this', parseNumber)
    .option('--min-speedup <ratio>', 'fail when prefill or decode is not so many times as fast', parseNumber)
    .addHelpText('after', help)
    .action((reference: string, flags: CompareFlags) => run(reference, flags, interrupts));
  addLoadFlags(command, ['device', 'gpuLayers', 'threads']).option('--json', 'print one JSON object');
}

function parseLengths(text: string): number[] {
  return text.split(',').map((part) => {
    const length = Number(part);
    if (Number.isInteger(length) && length >= 1) return length;
    throw new InvalidArgumentError('It must be integers from 1 on, with commas between.');
  });
}

function parseNames(text: string): string[] {
  return text.split(',').map((name) => name.trim());
}

function parseParts(text: string): Part[] {
  return text.split(',').map((given) => {
    const part = partNames.find((name) => name === given);
    if (part !== undefined) return part;
    throw new InvalidArgumentError(`Known parts: ${partNames.join(', ')}.`);
  });
}

async function run(reference: string, flags: CompareFlags, interrupts: Interrupts): Promise<void> {
  const { device, gpuLayers, threads } = loadOptionsOf(flags);
  const progress = createProgress();
  const options: CompareOptions = {
    ...(flags.text !== undefined && { text: await readText(flags.text) }),
    ...(flags.windows !== undefined && { windows: flags.windows }),
    ...(flags.prompts !== undefined && { promptLengths: flags.prompts }),
    latency: flags.only?.includes('speed') ?? true,
    quality: flags.only?.includes('quality') ?? true,
    layers: flags.only?.includes('layers') ?? true,
    memory: flags.only?.includes('memory') ?? true,
    ...(flags.sensitivity !== undefined && { sensitivity: flags.sensitivity }),
    ...(flags.keepFp32 !== undefined && { keepFp32: flags.keepFp32 }),
    ...(flags.search !== undefined && { search: flags.search }),
    ...(flags.maxKl !== undefined && { maxKl: flags.maxKl }),
    ...(flags.minSpeedup !== undefined && { minSpeedup: flags.minSpeedup }),
    ...(device !== undefined && { device }),
    ...(gpuLayers !== undefined && { gpuLayers }),
    ...(threads !== undefined && { threads }),
    signal: interrupts.signal,
    onProgress: (state) => show(progress, state),
  };
  const textFiles = flags.text === undefined ? [] : [flags.text];
  // Refused before the work, not after it.
  const page = flags.html === undefined ? undefined : await reservePage(flags.html, reference, textFiles);
  try {
    const report = await compare(reference, options)
      .catch((error) => {
        throw inFlags(error);
      })
      .finally(() => progress.stop());
    if (flags.text !== undefined) report.text.source = flags.text;
    await page?.write(await comparisonPage(report));
    await write(report, flags, interrupts);
  } finally {
    await page?.discard();
  }
}

async function write(report: CompareReport, flags: CompareFlags, interrupts: Interrupts): Promise<void> {
  if (flags.json) await writeJson(report);
  else await writeData(`${layoutComparison(report)}\n`);
  if (interrupts.outputGone) return;
  for (const { passed, reason } of report.checks) if (!passed) tell(`failed: ${reason}`);
  if (report.checks.some(({ passed }) => !passed)) process.exitCode = FAILED;
}

const titles = {
  latency: 'measuring speed',
  quality: 'comparing outputs',
  layers: 'looking at layers',
  search: 'searching what to keep in FP32',
  memory: 'measuring memory',
};

function show(progress: ProgressDisplay, { phase, done, secondsLeft, load }: CompareProgress): void {
  if (load !== undefined) progress.report(load);
  else if (phase !== 'load') progress.part(titles[phase], done, secondsLeft);
}

const flagOf: Readonly<Record<string, string>> = {
  text: '--text',
  windows: '--windows',
  promptLengths: '--prompts',
  maxKl: '--max-kl',
  minSpeedup: '--min-speedup',
  keepFp32: '--keep-fp32',
  search: '--search',
  sensitivity: '--sensitivity',
};

/** The library's option names as flags. */
function inFlags(error: unknown): unknown {
  if (!(error instanceof KvasirError) || error.code !== 'INVALID_OPTION') return error;
  const flag = flagOf[String(error.details.option)];
  return flag ? new UsageError(error.message.replace(/^Option \w+ is/, `${flag} is`)) : error;
}

/** Throws UsageError for a file that cannot be read, or is no UTF-8. */
async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: Error) => {
    throw new UsageError(`--text cannot be read: ${error.message}`);
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`--text ${path} is no UTF-8 text.`);
  }
}
