/** Flags that several commands share, and their way from text to checked options. */
import { type Command, Option } from 'commander';
import { KvasirError } from '../errors.js';
import {
  type GenerateOptions,
  type LoadOptions,
  parseGenerateOptions,
  parseLoadOptions,
} from '../options.js';
import { adapterFlag } from './adapter-flag.js';
import { UsageError } from './failure.js';
import { parseInteger } from './flag-values.js';
import { generateFlags } from './generate-flags.js';

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

/** @param names which ones, as properties of `GenerateOptions`; default: all. */
export function addGenerateFlags(command: Command, names?: readonly string[]): Command {
  return addFlags(command, [...generateFlags, adapterFlag], names);
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
