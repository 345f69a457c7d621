/** `kvasir inspect`: what a model makes of a text, token by token and layer by layer. */
import { type Command, InvalidArgumentError } from 'commander';
import type { Trace } from '../trace/trace.js';
import { type TraceOptions, traceTensorNames } from '../trace/trace-options.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import { UsageError } from './failure.js';
import { parseCount } from './flag-values.js';
import { inspectPage } from './inspect-page.js';
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
  html?: string;
  positions?: number[];
  compare?: boolean;
  json?: boolean;
}

const help = `
Shows for each token what the model expected next, how surprised it was by what came, and, with --lens, what it would expect
behind each layer. --json prints that with shape and statistics of every tensor; --out FOLDER writes the tensors too, as
tensors.safetensors and trace.json. --html writes one page that shows every component of every layer, with --positions for
the tokens of which it holds all tensors. Tensors: ${traceTensorNames.join(', ')}.`;

function parseNumbers(text: string): number[] {
  const numbers = text.split(',').map(Number);
  if (numbers.every((one) => Number.isInteger(one) && one >= 0)) return numbers;
  throw new InvalidArgumentError('It must be numbers with commas between them.');
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
    .option('--html <file>', 'write a page to walk through the model with')
    .option('--positions <numbers>', 'tokens of which the page holds every tensor', parseNumbers)
    .option('--compare', 'INT8 beside FP32 in the page, where the error begins first')
    .option('--json', 'print one JSON object')
    .addHelpText('after', help)
    .action((reference: string, prompt: string | undefined, flags: InspectFlags) =>
      inspect(reference, prompt, flags, interrupts),
    );
  addLoadFlags(command);
}

async function inspect(
  reference: string,
  argument: string | undefined,
  flags: InspectFlags,
  interrupts: Interrupts,
): Promise<void> {
  const { signal } = interrupts;
  const loadOptions = loadOptionsOf(flags);
  for (const name of ['positions', 'compare']) {
    if (flags[name] !== undefined && flags.html === undefined)
      throw new UsageError(`--${name} is about the page of --html.`);
  }
  const prompt = await readPrompt(argument, signal);
  if (flags.html !== undefined) return inspectAsPage(reference, prompt, flags, flags.html, interrupts);
  await withModel(reference, { ...loadOptions, signal }, async (model) => {
    const progress = createProgress();
    const { lens, generate, layers, heads } = flags;
    // Values that nobody keeps need not be computed.
    const tensors = (flags.tensors ?? (flags.out || flags.json ? undefined : [])) as TraceOptions['tensors'];
    const options = { lens, generate, layers, heads, tensors, signal };
    const trace = await model
      .trace(prompt, {
        ...options,
        onProgress: ({ done, total }) => progress.count('tracing layers', done, total),
      })
      .finally(() => progress.stop());
    if (flags.out !== undefined) await trace.save(flags.out);
    if (flags.json) await writeJson({ model: model.info.name, ...trace.toJSON() });
    else await writeData(table(trace));
    if (flags.out !== undefined && !interrupts.outputGone)
      say(`${trace.tensors.length} tensors are in ${flags.out}.`);
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
  const other = ['lens', 'layers', 'heads', 'tensors', 'out', 'json'].find(
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

/** A line for each token: what it is, how surprising it was, what was expected after it, behind each layer and in the end. */
function table({ tokens, from, predictions, lens }: Trace): string {
  const layers = [...new Set(lens.map(({ layer }) => layer))];
  const rows = predictions.map(({ position, top, entropy }) => {
    const before = position > from ? predictions[position - from - 1]?.surprisal : undefined;
    const seen = layers.map((layer) => lens.find((one) => one.layer === layer && one.position === position));
    return [
      String(position),
      JSON.stringify(tokens[position]!.text),
      before === undefined ? '' : before.toFixed(2),
      entropy.toFixed(2),
      ...seen.map((one) => JSON.stringify(one?.top[0]?.text ?? '')),
      `${JSON.stringify(top[0]!.text)} ${(100 * top[0]!.probability).toFixed(0)} %`,
    ];
  });
  const head = [
    '#',
    'token',
    'surprisal',
    'entropy',
    ...layers.map((layer) => `layer ${layer}`),
    'expected next',
  ];
  const lines =
    rows.length > 0 ? [head, ...rows] : tokens.map(({ text }, i) => [String(i), JSON.stringify(text)]);
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, i) => cell.padEnd(widths[i]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
