/** `kvasir inspect`: what a model makes of a text, token by token and layer by layer. */
import { type Command, InvalidArgumentError } from 'commander';
import { type TraceFormat, traceFormats } from '../trace/formats.js';
import {
  samplingNames,
  type TraceOptions,
  type TraceSampling,
  traceTensorNames,
} from '../trace/trace-options.js';
import { addGenerateFlags, addLoadFlags, loadOptionsOf } from './arguments.js';
import { UsageError } from './failure.js';
import { parseCount } from './flag-values.js';
import { inspectPage } from './inspect-page.js';
import { drawLines, tokenTable } from './inspect-table.js';
import type { Interrupts } from './interrupt.js';
import { withModel } from './load.js';
import { say, writeData, writeJson } from './output.js';
import { reservePage } from './page-file.js';
import { createProgress } from './progress.js';
import { readPrompt } from './prompt-input.js';

interface InspectFlags extends Record<string, unknown> {
  lens?: number;
  generate?: number;
  layers?: number[];
  heads?: number[];
  tensors?: string[];
  out?: string;
  formats?: TraceFormat[];
  draws?: boolean;
  html?: string;
  positions?: number[];
  compare?: boolean;
  json?: boolean;
}

const help = `
Shows for each token what the model expected next, how surprised it was by what came, and, with --lens, what it would expect
behind each layer. --json prints that with shape and statistics of every tensor; --out FOLDER writes the tensors too, as
tensors.safetensors and trace.json, while they are computed: the text may be as long as the context. --formats names further
files there: ${traceFormats.join(', ')}. With --generate, --draws shows each generated token through the stages of the
sampler, which the flags of \`kvasir run\` set. --html writes one page that shows every component of every layer, with --positions for
the tokens of which it holds all tensors. Tensors: ${traceTensorNames.join(', ')}.`;

function parseNumbers(text: string): number[] {
  const numbers = text.split(',').map(Number);
  if (numbers.every((one) => Number.isInteger(one) && one >= 0)) return numbers;
  throw new InvalidArgumentError('It must be numbers with commas between them.');
}

function parseFormats(text: string): TraceFormat[] {
  const formats = text.split(',') as TraceFormat[];
  if (formats.every((one) => traceFormats.includes(one))) return formats;
  throw new InvalidArgumentError(`It must be some of ${traceFormats.join(', ')}.`);
}

export function registerInspect(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('inspect')
    .description('what a model makes of a text, layer by layer')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .argument('[prompt]', 'the text; - or nothing: read it from stdin')
    .option('--lens <count>', 'the most probable tokens behind each layer', parseCount(0))
    .option('--generate <count>', 'tokens to generate first, greedily', parseCount(0))
    .option('--layers <numbers>', 'such as 0,3,29 (default: all)', parseNumbers)
    .option('--heads <numbers>', 'such as 0,1 (default: all)', parseNumbers)
    .option('--tensors <names>', 'with commas between them', (text) => text.split(','))
    .option('--out <folder>', 'write the tensors there')
    .option('--formats <names>', 'files of it, with commas between them', parseFormats)
    .option('--draws', 'how each generated token was drawn')
    .option('--html <file>', 'write a page to walk through the model with')
    .option('--positions <numbers>', 'tokens of which the page holds every tensor', parseNumbers)
    .option('--compare', 'INT8 beside FP32 in the page, where the error begins first')
    .option('--json', 'print one JSON object')
    .addHelpText('after', help)
    .action((reference: string, prompt: string | undefined, flags: InspectFlags) =>
      inspect(reference, prompt, flags, interrupts),
    );
  addGenerateFlags(command, samplingNames);
  addLoadFlags(command);
}

/** Throws UsageError for what is not about anything. */
function checkFlags(flags: InspectFlags): void {
  for (const name of ['positions', 'compare']) {
    if (flags[name] !== undefined && flags.html === undefined)
      throw new UsageError(`--${name} is about the page of --html.`);
  }
  if (flags.formats !== undefined && flags.out === undefined)
    throw new UsageError('--formats is about the files of --out.');
  if (flags.draws && !flags.generate) throw new UsageError('--draws is about what --generate draws.');
}

/** Undefined where no flag says how tokens are drawn. */
function samplingOf(flags: InspectFlags): TraceSampling | undefined {
  const given = samplingNames.filter((name) => flags[name] !== undefined);
  return given.length > 0 ? Object.fromEntries(given.map((name) => [name, flags[name]])) : undefined;
}

async function inspect(
  reference: string,
  argument: string | undefined,
  flags: InspectFlags,
  interrupts: Interrupts,
): Promise<void> {
  const { signal } = interrupts;
  const loadOptions = loadOptionsOf(flags);
  checkFlags(flags);
  const prompt = await readPrompt(argument, signal);
  if (flags.html !== undefined) return inspectAsPage(reference, prompt, flags, flags.html, interrupts);
  await withModel(reference, { ...loadOptions, signal }, async (model) => {
    const progress = createProgress();
    const { lens, generate, layers, heads, out: folder, formats } = flags;
    // Values that nobody keeps need not be computed.
    const tensors = (flags.tensors ?? (folder || flags.json ? undefined : [])) as TraceOptions['tensors'];
    const timeline = formats?.some((format) => format === 'chrome' || format === 'otlp');
    const sampling = samplingOf(flags);
    const options = { lens, generate, sampling, layers, heads, tensors, folder, timeline, signal };
    const trace = await model
      .trace(prompt, {
        ...options,
        onProgress: ({ done, total }) => progress.count('tracing layers', done, total),
      })
      .finally(() => progress.stop());
    if (folder !== undefined && formats) await trace.save(folder, { formats });
    if (flags.json) await writeJson({ model: model.info.name, ...trace.toJSON() });
    else await writeData(`${tokenTable(trace)}${flags.draws ? drawLines(trace.draws) : ''}`);
    if (folder !== undefined && !interrupts.outputGone)
      say(`${trace.tensors.length} tensors are in ${folder}.`);
  });
}

/** Its place is made sure of before the work. */
async function inspectAsPage(
  reference: string,
  prompt: string,
  flags: InspectFlags,
  path: string,
  interrupts: Interrupts,
): Promise<void> {
  const other = ['lens', 'layers', 'heads', 'tensors', 'out', 'draws', 'json', ...samplingNames].find(
    (name) => flags[name] !== undefined,
  );
  if (other !== undefined)
    throw new UsageError(`--${other} does not go with --html: the page has all of it.`);
  const { generate, positions, compare } = flags;
  const file = await reservePage(path, reference);
  try {
    const wanted = { reference, prompt, generate, positions, compare };
    const page = await inspectPage({ ...wanted, load: loadOptionsOf(flags), signal: interrupts.signal });
    await file.write(page);
    if (!interrupts.outputGone) say(`The page is in ${path}.`);
  } finally {
    await file.discard();
  }
}
