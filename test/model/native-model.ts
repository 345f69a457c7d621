/** Loads a model through lib/formats and the public native border, and steps it. No tokenizer, no engine. */
import type { InspectedModel } from '../../lib/compare/layer-linears.js';
import { describeModel, type ModelDescription } from '../../lib/formats/index.js';
import { resolveModel } from '../../lib/hub/index.js';
import { type NativeLoadOptions, type NativeModel, native } from '../../lib/native.js';
import { specToJson } from '../../lib/spec.js';

/** The kernel tables that this machine can run, least first. */
export const kernels: readonly string[] = native().cpu().available;

/** What a load needs of a checkpoint. */
export type Loadable = Pick<ModelDescription, 'spec' | 'tensors'> & { paths: string[] };

export interface Described extends ModelDescription {
  paths: string[];
}

export async function describeAt(path: string): Promise<Described> {
  const files = await resolveModel(path, { download: false });
  const container = await native().openContainer(files.weights);
  try {
    return { ...(await describeModel(files, container)), paths: files.weights };
  } finally {
    container.close();
  }
}

export interface LoadSettings extends Partial<NativeLoadOptions> {
  /** Kernel table. Default: the best. */
  isa?: string;
}

/** FP32 on two threads, the model's whole context, one sequence, unless told otherwise. */
export function loadOptions(
  { spec }: Pick<Loadable, 'spec'>,
  settings: LoadSettings = {},
): NativeLoadOptions {
  const { isa: _, ...given } = settings;
  const dtype = given.dtype ?? 'fp32';
  const contextLength = given.contextLength ?? spec.maxPositions;
  return { dtype, kvDtype: dtype, contextLength, kvCapacity: contextLength, threads: 2, ...given };
}

const variable = 'KVASIR_CPU_ISA';

/** One at a time: the kernel table is chosen by the environment. */
export async function loadNative(described: Loadable, settings: LoadSettings = {}): Promise<NativeModel> {
  const container = await native().openContainer(described.paths);
  const before = process.env[variable];
  try {
    if (settings.isa !== undefined) process.env[variable] = settings.isa;
    const { spec, tensors } = described;
    const { promise } = native().loadModel(
      container,
      specToJson(spec),
      tensors,
      loadOptions(described, settings),
    );
    const model = await promise;
    if (settings.isa !== undefined && model.info.kernels !== settings.isa) {
      throw new Error(`${settings.isa} was asked for, ${model.info.kernels} runs`);
    }
    return model;
  } finally {
    if (before === undefined) delete process.env[variable];
    else process.env[variable] = before;
    container.close();
  }
}

/** Loads, calls, disposes. */
export async function withModel<T>(
  described: Loadable,
  settings: LoadSettings,
  use: (model: NativeModel) => Promise<T>,
): Promise<T> {
  const model = await loadNative(described, settings);
  try {
    return await use(model);
  } finally {
    await model.dispose();
  }
}

export interface Part {
  sequence: number;
  tokens: readonly number[] | Int32Array;
}

/** Which tokens of a step give a row: every one, the last of each sequence, or these indices into the step. */
export type Rows = 'all' | 'last' | readonly number[];

function rowsOf(parts: readonly Part[], rows: Rows): Int32Array {
  if (rows !== 'all' && rows !== 'last') return Int32Array.from(rows);
  const wanted: number[] = [];
  let n = 0;
  for (const { tokens } of parts) {
    if (rows === 'all') for (let i = 0; i < tokens.length; ++i) wanted.push(n + i);
    else wanted.push(n + tokens.length - 1);
    n += tokens.length;
  }
  return Int32Array.from(wanted);
}

/** One step; the whole logits of each wanted row. */
export async function step(
  model: NativeModel,
  parts: readonly Part[],
  rows: Rows = 'all',
): Promise<Float32Array[]> {
  const wanted = rowsOf(parts, rows);
  const result = await model.step({
    sequences: Int32Array.from(parts, (part) => part.sequence),
    counts: Int32Array.from(parts, (part) => part.tokens.length),
    tokens: Int32Array.from(parts.flatMap((part) => [...part.tokens])),
    rows: wanted,
    temperatures: new Float32Array(wanted.length),
    fullLogits: new Uint8Array(wanted.length).fill(1),
    targets: new Int32Array(wanted.length).fill(-1),
  });
  return result.fullLogits.map((row) => row!);
}

/** Logits of every token of one fresh sequence that is fed whole. */
export async function logitsOf(model: NativeModel, tokens: readonly number[], rows: Rows = 'all') {
  const sequence = model.createSequence();
  const logits = await step(model, [{ sequence, tokens }], rows);
  model.freeSequence(sequence);
  return logits;
}

export function argmax(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; ++i) if (row[i]! > row[best]!) best = i;
  return best;
}

/** The `count` tokens that greedy decoding appends. */
export async function greedy(
  model: NativeModel,
  prompt: readonly number[],
  count: number,
): Promise<number[]> {
  const sequence = model.createSequence();
  const out: number[] = [];
  let tokens: readonly number[] = prompt;
  while (out.length < count) {
    const [row] = await step(model, [{ sequence, tokens }], 'last');
    out.push(argmax(row!));
    tokens = out.slice(-1);
  }
  model.freeSequence(sequence);
  return out;
}

export function joined(rows: readonly Float32Array[]): Float32Array {
  const values = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    values.set(row, at);
    at += row.length;
  }
  return values;
}

/** INT8 with these linears in float32; the cache too, where there are any. */
export async function loadInspected(from: Loadable, keepFp32: string[]): Promise<InspectedModel> {
  const kvDtype = keepFp32.length > 0 ? 'fp32' : 'int8';
  return (await loadNative(from, { dtype: 'int8', kvDtype, keepFp32 })) as InspectedModel;
}
