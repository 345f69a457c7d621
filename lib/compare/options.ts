/** The options of `compare`, validated once, and its default text. */
import { readFile } from 'node:fs/promises';
import { packageFile } from '../package-root.js';
import {
  boolean,
  callback,
  integer,
  invalidOption,
  list,
  number,
  oneOf,
  parseOptions,
  type Rule,
  signal,
  text,
} from '../given.js';
import { deviceRules, type LoadOptions, type LoadProgress, linearNames } from '../options.js';
import { DECODE_TOKENS } from './latency.js';
import { checkText, DEFAULT_WINDOWS } from './windows.js';

/** What is compared; b is measured against a. */
export type Mode = 'fp32' | 'int8';

export type ComparePart = 'latency' | 'quality' | 'layers' | 'memory';
/** `search` follows `layers` where it is asked for and needed. */
export type ComparePhase = 'load' | ComparePart | 'search';

export interface CompareProgress {
  phase: ComparePhase;
  /** From 0 to 1, of this phase. */
  done: number;
  /** Of all phases, but for a search that has not begun; absent while it is unknown. */
  secondsLeft?: number;
  /** While a model is fetched and loaded. */
  load?: LoadProgress;
}

export interface CompareOptions {
  /** The reference. Default 'fp32'. */
  a?: Mode;
  /** Default 'int8'. */
  b?: Mode;
  /** Over which quality is compared. Default: the beginning of M. Shelley's Frankenstein, which comes with the package. */
  text?: string;
  /** Most windows of the text that are compared, of a model that gives vectors four times as many pieces. Default 24. */
  windows?: number;
  /** Tokens of a window. Default 512, or the model's context where that is shorter. */
  windowTokens?: number;
  /** Lengths of prompts (or of texts, of a model that gives vectors) at which speed is measured. Default 16, 128, 512 and 2048, as far as the context allows. */
  promptLengths?: readonly number[];
  /** Tokens decoded after each prompt. Default 32. */
  decodeTokens?: number;
  /**
   * Speed is measured no longer than about this, and shorter where the intervals are within 2 % before. Default 90;
   * three groups of four prompts, and six of four decoded slices, are measured in any case.
   */
  latencySeconds?: number;
  /** Parts to leave out. Default: none. */
  latency?: boolean;
  quality?: boolean;
  /** Where the error comes from; only when FP32 is compared with INT8. */
  layers?: boolean;
  memory?: boolean;
  /** Rank layers (default), or every linear by itself. */
  sensitivity?: 'layer' | 'full';
  /** Linears of the INT8 side that stay FP32, as `Model.load` takes them. Default: none. */
  keepFp32?: readonly string[];
  /** Where the mean KL is above `maxKl`: look for the smallest `keepFp32` that helps. Default false. */
  search?: boolean;
  /**
   * Where both modes run, as `Model.load` takes it. Default 'auto'. Layers are looked into on the CPU in any case, which
   * computes the same bits.
   */
  device?: LoadOptions['device'];
  /** Layers that the GPU runs, as `Model.load` takes them. Default 'auto'. */
  gpuLayers?: LoadOptions['gpuLayers'];
  /** Default: KVASIR_THREADS, or one per core that the process may use. */
  threads?: number;
  /** The report's check fails when the mean KL is above this. */
  maxKl?: number;
  /** The report's check fails when b's prefill or decode is not at least so many times as fast as a's. */
  minSpeedup?: number;
  onProgress?: (progress: CompareProgress) => void;
  /** Aborting gives a report of what there is, with `complete: false`; before anything is measured, it rejects. */
  signal?: AbortSignal;
}

export interface CompareSettings extends CompareOptions {
  a: Mode;
  b: Mode;
  text: string;
  windows: number;
  decodeTokens: number;
  latencySeconds: number;
  /** What is measured, in this order. */
  parts: ComparePart[];
  textSource: string;
}

const rules = {
  a: oneOf('fp32', 'int8'),
  b: oneOf('fp32', 'int8'),
  text,
  windows: integer(1, 100_000),
  windowTokens: integer(4, 2 ** 24),
  promptLengths: list(integer(1, 2 ** 31).fits, 1, 16, 'an array of 1 to 16 integers from 1 on'),
  decodeTokens: integer(2, 2 ** 20),
  latencySeconds: number(0, 86_400),
  latency: boolean,
  quality: boolean,
  layers: boolean,
  memory: boolean,
  sensitivity: oneOf('layer', 'full'),
  keepFp32: linearNames,
  search: boolean,
  ...deviceRules,
  threads: integer(1, 1024),
  maxKl: number(0, Number.MAX_VALUE),
  minSpeedup: number(0, Number.MAX_VALUE),
  onProgress: callback,
  signal,
} satisfies Record<keyof CompareOptions, Rule>;

/** Fills in what does not depend on the model. Throws INVALID_OPTION, MODEL_NOT_FOUND where the default text is gone. */
export async function parseCompareOptions(options: unknown): Promise<CompareSettings> {
  const given = parseOptions(rules, options, 'compare') as CompareOptions;
  const { a = 'fp32', b = 'int8' } = given;
  const explains = a === 'fp32' && b === 'int8';
  if (given.layers && !explains)
    throw invalidOption('layers', true, "absent unless a is 'fp32' and b 'int8'");
  const parts = (['latency', 'quality', 'layers', 'memory'] as const).filter(
    (part) => given[part] ?? (part === 'layers' ? explains : true),
  );
  checkKeeping(given, [a, b], parts);
  if (given.maxKl !== undefined && !parts.includes('quality')) {
    throw invalidOption('maxKl', given.maxKl, 'absent where quality is left out');
  }
  if (given.minSpeedup !== undefined && !parts.includes('latency')) {
    throw invalidOption('minSpeedup', given.minSpeedup, 'absent where latency is left out');
  }
  if (parts.length === 0) throw invalidOption('memory', false, 'true where all else is left out');
  const compared = given.text ?? (await readFile(packageFile('texts', 'frankenstein.txt'), 'utf8'));
  checkText(compared);
  const windowTokens = given.windowTokens ?? 0;
  if (Buffer.byteLength(compared) < windowTokens) {
    throw invalidOption('text', `${compared.length} characters long`, `at least ${windowTokens} tokens long`);
  }
  return {
    ...given,
    a,
    b,
    text: compared,
    textSource: given.text === undefined ? 'default: M. Shelley, Frankenstein' : 'given',
    windows: given.windows ?? DEFAULT_WINDOWS,
    decodeTokens: given.decodeTokens ?? DECODE_TOKENS,
    latencySeconds: given.latencySeconds ?? 90,
    parts,
  };
}

/** What asks for tokens or logits, of a model that gives vectors alone. Throws INVALID_OPTION. */
export function checkEncoderSettings(settings: CompareSettings): void {
  for (const name of ['maxKl', 'search', 'sensitivity', 'windowTokens'] as const) {
    if (settings[name] !== undefined)
      throw invalidOption(
        name,
        settings[name],
        'absent for a model that gives vectors and predicts no tokens',
      );
  }
}

function checkKeeping(
  { keepFp32, search, sensitivity, maxKl }: CompareOptions,
  modes: readonly Mode[],
  parts: readonly ComparePart[],
): void {
  if (keepFp32 !== undefined && !modes.includes('int8')) {
    throw invalidOption('keepFp32', keepFp32, 'absent where no mode is INT8');
  }
  if (search && (maxKl === undefined || !parts.includes('layers'))) {
    throw invalidOption('search', search, 'absent without maxKl, or where layers are left out');
  }
  if (sensitivity !== undefined && !parts.includes('layers')) {
    throw invalidOption('sensitivity', sensitivity, 'absent where layers are left out');
  }
}
