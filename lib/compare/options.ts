/** The options of `compare`, validated once, and its default text. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../native.js';
import {
  boolean,
  integer,
  invalidOption,
  type LoadProgress,
  number,
  oneOf,
  parseOptions,
  signal,
} from '../options.js';
import { DECODE_TOKENS } from './latency.js';
import { checkText, DEFAULT_WINDOWS } from './windows.js';

/** What is compared; b is measured against a. */
export type Mode = 'fp32' | 'int8';

export type ComparePhase = 'load' | 'latency' | 'quality' | 'memory';

export interface CompareProgress {
  phase: ComparePhase;
  /** From 0 to 1, of this phase. */
  done: number;
  /** Of all phases; absent while it is unknown. */
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
  /** Most windows of the text that are compared. Default 24. */
  windows?: number;
  /** Tokens of a window. Default 512, or the model's context where that is shorter. */
  windowTokens?: number;
  /** Prompt lengths at which speed is measured. Default 16, 128, 512 and 2048, as far as the context allows. */
  promptLengths?: readonly number[];
  /** Tokens decoded after each prompt. Default 32. */
  decodeTokens?: number;
  /** About how long speed is measured. Default 60; three repetitions of four generations are made in any case. */
  latencySeconds?: number;
  /** Parts to leave out. Default: none. */
  latency?: boolean;
  quality?: boolean;
  memory?: boolean;
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
  parts: ('latency' | 'quality' | 'memory')[];
  textSource: string;
}

const optional = {
  a: oneOf('fp32', 'int8'),
  b: oneOf('fp32', 'int8'),
  text: z.custom<string>((v) => typeof v === 'string', 'a string'),
  windows: integer(1, 100_000),
  windowTokens: integer(4, 2 ** 24),
  promptLengths: z.custom<number[]>(
    (v) => Array.isArray(v) && v.length > 0 && v.length <= 16 && v.every((n) => Number.isInteger(n) && n > 0),
    'an array of 1 to 16 integers from 1 on',
  ),
  decodeTokens: integer(2, 2 ** 20),
  latencySeconds: number(0, 86_400),
  latency: boolean,
  quality: boolean,
  memory: boolean,
  threads: integer(1, 1024),
  maxKl: number(0, Number.MAX_VALUE),
  minSpeedup: number(0, Number.MAX_VALUE),
  onProgress: z.custom<CompareOptions['onProgress']>((v) => typeof v === 'function', 'a function'),
  signal,
};
const schema = z.strictObject(
  Object.fromEntries(Object.entries(optional).map(([name, type]) => [name, type.optional()])),
);

/** Fills in what does not depend on the model. Throws INVALID_OPTION, MODEL_NOT_FOUND where the default text is gone. */
export async function parseCompareOptions(options: unknown): Promise<CompareSettings> {
  const given = parseOptions(schema, options, 'compare') as CompareOptions;
  const parts = (['latency', 'quality', 'memory'] as const).filter((part) => given[part] ?? true);
  if (given.maxKl !== undefined && !parts.includes('quality')) {
    throw invalidOption('maxKl', given.maxKl, 'absent where quality is left out');
  }
  if (given.minSpeedup !== undefined && !parts.includes('latency')) {
    throw invalidOption('minSpeedup', given.minSpeedup, 'absent where latency is left out');
  }
  if (parts.length === 0) throw invalidOption('memory', false, 'true where all else is left out');
  const text = given.text ?? (await readFile(join(packageRoot, 'texts', 'frankenstein.txt'), 'utf8'));
  checkText(text);
  const windowTokens = given.windowTokens ?? 0;
  if (Buffer.byteLength(text) < windowTokens) {
    throw invalidOption('text', `${text.length} characters long`, `at least ${windowTokens} tokens long`);
  }
  return {
    ...given,
    a: given.a ?? 'fp32',
    b: given.b ?? 'int8',
    text,
    textSource: given.text === undefined ? 'default: M. Shelley, Frankenstein' : 'given',
    windows: given.windows ?? DEFAULT_WINDOWS,
    decodeTokens: given.decodeTokens ?? DECODE_TOKENS,
    latencySeconds: given.latencySeconds ?? 60,
    parts,
  };
}
