/** Flags that several commands share, and their way from text to checked options. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { KvasirError } from '../errors.js';
import {
  type GenerateOptions,
  type LoadOptions,
  parseGenerateOptions,
  parseLoadOptions,
} from '../options.js';
import { UsageError } from './failure.js';

export function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

export function parseInteger(text: string): number {
  const value = parseNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be an integer.');
  return value;
}

/** An integer from `least` on. */
export function parseCount(least: number): (text: string) => number {
  return (text) => {
    const value = parseInteger(text);
    if (value < least) throw new InvalidArgumentError(`It must be an integer from ${least} on.`);
    return value;
  };
}

function collect(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text];
}

/** 'auto' or an integer. */
function parseLayers(text: string): 'auto' | number {
  return text === 'auto' ? text : parseInteger(text);
}

/** The flags of `Model.load`. Each has an environment variable, which the flag beats. */
const loadFlags: readonly Option[] = [
  new Option('--device <device>', 'auto, cpu, cuda or cuda:<number>').env('KVASIR_DEVICE'),
  new Option('--gpu-layers <count>', 'layers that the GPU runs, or auto: as many as fit (the default)')
    .argParser(parseLayers)
    .env('KVASIR_GPU_LAYERS'),
  new Option('--dtype <dtype>', 'weights: int8 (the default) or fp32')
    .choices(['auto', 'int8', 'fp32'])
    .env('KVASIR_DTYPE'),
  new Option('--kv-dtype <dtype>', 'KV cache: int8, fp16 or fp32 (default: that of the weights)')
    .choices(['auto', 'int8', 'fp16', 'fp32'])
    .env('KVASIR_KV_DTYPE'),
  new Option('-t, --threads <count>', 'default: one per core that the process may use')
    .argParser(parseInteger)
    .env('KVASIR_THREADS'),
  new Option(
    '-c, --context-length <tokens>',
    "prompt and output (default: 4096, or the model's limit if less)",
  )
    .argParser(parseInteger)
    .env('KVASIR_CONTEXT_LENGTH'),
];

const generateFlags: readonly Option[] = [
  new Option('-n, --max-tokens <count>', 'most tokens to generate (default: 256)').argParser(parseInteger),
  new Option('--temperature <number>', "0 is greedy (default: the model's own, or else 0)").argParser(
    parseNumber,
  ),
  new Option('--top-k <count>', 'sample from the k most probable tokens').argParser(parseInteger),
  new Option('--top-p <fraction>', 'sample from the fewest tokens with this probability').argParser(
    parseNumber,
  ),
  new Option('--min-p <fraction>', 'drop tokens less probable than this part of the best').argParser(
    parseNumber,
  ),
  new Option('--typical-p <fraction>', 'locally typical sampling').argParser(parseNumber),
  new Option('--repetition-penalty <number>', 'above 1: tokens that occurred are less likely').argParser(
    parseNumber,
  ),
  new Option('--presence-penalty <number>', 'from -2 to 2, for tokens that the output has').argParser(
    parseNumber,
  ),
  new Option('--frequency-penalty <number>', 'from -2 to 2, for each time it has them').argParser(
    parseNumber,
  ),
  new Option('--seed <number>', 'the same seed, the same text').argParser(parseInteger),
  new Option('--stop <text>', 'end the text here; may be given several times').argParser(collect),
  new Option('--ignore-eos', 'go on past the end of the text'),
  new Option('--logprobs <count>', 'log-probabilities, with this many alternatives (needs --json)').argParser(
    parseInteger,
  ),
];

function addFlags(command: Command, flags: readonly Option[], names?: readonly string[]): Command {
  for (const flag of flags) {
    if (names === undefined || names.includes(flag.attributeName())) command.addOption(flag);
  }
  return command;
}

/** @param names which ones, as properties of `LoadOptions`; default: all. */
export function addLoadFlags(command: Command, names?: readonly (keyof LoadOptions)[]): Command {
  return addFlags(command, loadFlags, names);
}

export function addGenerateFlags(command: Command): Command {
  return addFlags(command, generateFlags);
}

/** By its name or its property: 'top-p', '--top-p' or 'topP'. */
export function generateFlagOf(name: string): Option | undefined {
  const long = name.startsWith('--') ? name : `--${name}`;
  return generateFlags.find((one) => one.long === long || one.attributeName() === name);
}

/** What these flags gave; other flags of the command are left out. */
function pick(given: Readonly<Record<string, unknown>>, flags: readonly Option[]): Record<string, unknown> {
  const names = flags.map((flag) => flag.attributeName()).filter((name) => given[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, given[name]]));
}

/** The library names its own options; the user wrote flags. The same error, in the user's terms. */
export function inFlags(error: unknown): unknown {
  if (!(error instanceof KvasirError)) return error;
  const { code, message, details } = error;
  const flag = [...loadFlags, ...generateFlags].find((one) => one.attributeName() === details.option);
  if (flag === undefined) return error;
  const renamed = message.replace(`Option ${details.option} is`, `Option ${flag.long} is`);
  return new KvasirError(code, renamed, { cause: error, details });
}

/** Options that were checked before anything was tried belong to the command line. */
function checked<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    const told = inFlags(error);
    throw told instanceof KvasirError ? new UsageError(told.message) : told;
  }
}

/** Throws UsageError, before anything is loaded. */
export function loadOptionsOf(given: Readonly<Record<string, unknown>>): LoadOptions {
  return checked(() => parseLoadOptions(pick(given, loadFlags)));
}

/** Throws UsageError, before anything is loaded; what depends on the model is checked when it is there. */
export function generateOptionsOf(given: Readonly<Record<string, unknown>>): GenerateOptions {
  const options = pick(given, generateFlags) as GenerateOptions;
  checked(() => parseGenerateOptions(options, {}, Number.MAX_SAFE_INTEGER));
  if (options.logprobs !== undefined && !given.json) {
    throw new UsageError('--logprobs is part of the JSON output: add --json.');
  }
  return options;
}
