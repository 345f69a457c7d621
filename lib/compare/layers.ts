/**
 * Where the error of INT8 comes from: each linear by itself, what has piled up until it, and what the output loses when
 * only that layer is INT8. Works on two native models of one checkpoint and on one window.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { NativeInspection, NativeModel } from '../native.js';
import { compareRows } from './divergence.js';
import { ErrorSum, type TensorError } from './tensor-error.js';
import { firstScored } from './windows.js';

export type InspectedModel = NativeModel & NativeInspection;

export interface LinearError {
  name: string;
  /** Of the stored weights: |W8 - W|^2 / |W|^2. */
  weightNmse: number;
  /** Of its output for the input that FP32 gives it. */
  local: TensorError;
  /** Of its output where all before it is INT8 too. */
  accumulated: TensorError;
}

export interface LayerError {
  /** 'embed.tokens', 'layers.3' or 'lm_head'. */
  name: string;
  /** Mean KL to FP32, in nats, when only this layer is INT8. */
  kl: number;
  /** Of the residual stream after it, where all until here is INT8; absent for the output layer. */
  accumulated?: TensorError;
  linears: LinearError[];
}

/** One entry of the ranking: a layer, or with full sensitivity a linear. */
export interface Sensitivity {
  name: string;
  kl: number;
}

export interface LayerAnalysis {
  layers: LayerError[];
  /** Most sensitive first. */
  sensitivity: Sensitivity[];
}

export interface LayerInputs {
  /** Every linear FP32 and an FP32 cache, but able to borrow INT8 ones. */
  reference: InspectedModel;
  /** INT8. */
  quantized: InspectedModel;
  nLayers: number;
  vocabSize: number;
  window: Int32Array;
  /** Rank every linear by itself too. */
  full: boolean;
  signal: AbortSignal;
  onProgress(done: number): void;
}

const none = new Int32Array(0);
/** Intermediate tensors that linears read and write. */
const taps = [
  'attn_norm',
  'qkv',
  'attention',
  'attn_residual',
  'ffn_norm',
  'gate_up',
  'activation',
  'ffn_residual',
];
/** What each linear of a layer reads. */
const inputs = { qkv: 'attn_norm', o: 'attention', gate_up: 'ffn_norm', down: 'activation' } as const;
type LayerLinear = keyof typeof inputs;

/** Throws the signal's reason; what was analyzed before is in `into` then. */
export async function analyzeLayers(given: LayerInputs, into: LayerAnalysis): Promise<void> {
  const analyzer = new LayerAnalyzer(given);
  const { nLayers, signal, onProgress } = given;
  await analyzer.begin();
  const steps = nLayers + 1;
  const rank = (entries: readonly Sensitivity[]) => {
    into.sensitivity.push(...entries);
    into.sensitivity.sort((x, y) => y.kl - x.kl);
  };
  for (let step = 0; step < steps; step++) {
    signal.throwIfAborted();
    const { error, ranked } = step === 0 ? await analyzer.embedding() : await analyzer.layer(step - 1);
    into.layers.push(error);
    rank(ranked);
    onProgress((step + 1) / (steps + 1));
  }
  const output = await analyzer.outputLayer();
  if (output) {
    into.layers.push(output.error);
    rank(output.ranked);
  }
}

interface Analyzed {
  error: LayerError;
  ranked: Sensitivity[];
}

class LayerAnalyzer {
  readonly #given: LayerInputs;
  /** Positions whose logits are compared. */
  readonly #rows: Int32Array;
  #logits: Float32Array = new Float32Array(0);
  /** The residual stream before the next layer, of either model. */
  #exact: Float32Array = new Float32Array(0);
  #rounded: Float32Array = new Float32Array(0);

  constructor(given: LayerInputs) {
    this.#given = given;
    const first = firstScored(given.window.length);
    this.#rows = Int32Array.from({ length: given.window.length - 1 - first }, (_, i) => first + i);
  }

  async begin(): Promise<void> {
    const { reference, window, nLayers } = this.#given;
    const run = { tokens: window, first: 0, end: nLayers, rows: this.#rows, taps: [] };
    this.#logits = (await reference.runLayers(run)).logits;
  }

  async embedding(): Promise<Analyzed> {
    const { reference, quantized, window } = this.#given;
    const run = { tokens: window, first: 0, end: 0, rows: none, taps: [] };
    this.#exact = (await reference.runLayers(run)).hidden;
    this.#rounded = (await quantized.runLayers(run)).hidden;
    const name = 'embed.tokens';
    const read = ErrorSum.of(this.#exact, this.#rounded);
    const kl = await this.#sensitivity([name], 0, undefined);
    const linear = { name, weightNmse: await this.#weightError(name), local: read, accumulated: read };
    return { error: { name, kl, accumulated: read, linears: [linear] }, ranked: [{ name, kl }] };
  }

  async layer(index: number): Promise<Analyzed> {
    const { reference, quantized, window, full } = this.#given;
    const run = { tokens: window, first: index, end: index + 1, rows: none, taps };
    const exact = await reference.runLayers({ ...run, input: this.#exact });
    const rounded = await quantized.runLayers({ ...run, input: this.#rounded });
    const name = `layers.${index}`;
    const linears: LinearError[] = [];
    for (const linear of this.#linearsOf(name)) {
      const input = exact.taps[`${name}.${inputs[linear]}`]!;
      linears.push({
        name: `${name}.${linear}`,
        weightNmse: await this.#weightError(`${name}.${linear}`),
        local: await this.#localError(`${name}.${linear}`, input),
        accumulated: ErrorSum.of(
          outputOf(linear, name, exact.taps, this.#exact),
          outputOf(linear, name, rounded.taps, this.#rounded),
        ),
      });
    }
    const names = linears.map((one) => one.name);
    const kl = await this.#sensitivity(names, index, this.#exact);
    const ranked: Sensitivity[] = [];
    if (full) {
      for (const one of names)
        ranked.push({ name: one, kl: await this.#sensitivity([one], index, this.#exact) });
    } else {
      ranked.push({ name, kl });
    }
    this.#exact = exact.hidden;
    this.#rounded = rounded.hidden;
    return { error: { name, kl, accumulated: ErrorSum.of(exact.hidden, rounded.hidden), linears }, ranked };
  }

  /** Those of a layer whose input is traced. */
  #linearsOf(layer: string): LayerLinear[] {
    const names = Object.keys(this.#given.reference.info.linears);
    const linears = Object.keys(inputs) as LayerLinear[];
    return linears.filter((linear) => names.includes(`${layer}.${linear}`));
  }

  /** Undefined where it is tied to the embedding. */
  async outputLayer(): Promise<Analyzed | undefined> {
    const { reference, quantized, window, nLayers } = this.#given;
    const name = 'lm_head';
    if (!(name in reference.info.linears)) return undefined;
    const run = { tokens: window, first: nLayers, end: nLayers, rows: this.#rows, taps: [] };
    const logits = (await quantized.runLayers({ ...run, input: this.#rounded })).logits;
    const local = (await quantized.runLayers({ ...run, input: this.#exact })).logits;
    const linear = {
      name,
      weightNmse: await this.#weightError(name),
      local: ErrorSum.of(this.#logits, local),
      accumulated: ErrorSum.of(this.#logits, logits),
    };
    const kl = await this.#sensitivity([name], nLayers, this.#exact);
    return { error: { name, kl, linears: [linear] }, ranked: [{ name, kl }] };
  }

  async #localError(name: string, input: Float32Array): Promise<TensorError> {
    const { reference, quantized } = this.#given;
    return ErrorSum.of(await reference.applyLinear(name, input), await quantized.applyLinear(name, input));
  }

  async #weightError(name: string): Promise<number> {
    const { reference, quantized } = this.#given;
    const sum = new ErrorSum();
    for (let first = 0; ; first += WEIGHT_ROWS) {
      const rows = await weightRows(reference, name, first);
      if (rows === undefined) return sum.result.nmse;
      sum.add(rows, (await weightRows(quantized, name, first))!);
      await nextTurn();
    }
  }

  /** Mean KL when only these linears are INT8: the run resumes at `layer` from what FP32 has there. */
  async #sensitivity(
    names: readonly string[],
    layer: number,
    input: Float32Array | undefined,
  ): Promise<number> {
    const { reference, quantized, window, nLayers } = this.#given;
    reference.borrow(quantized, names);
    try {
      const run = { tokens: window, first: layer, end: nLayers, rows: this.#rows, taps: [] };
      const { logits } = await reference.runLayers(input ? { ...run, input } : run);
      return await this.#meanKl(logits);
    } finally {
      reference.borrow(quantized, []);
    }
  }

  async #meanKl(logits: Float32Array): Promise<number> {
    const { vocabSize, window } = this.#given;
    let sum = 0;
    for (const [i, row] of this.#rows.entries()) {
      const [from, to] = [i * vocabSize, (i + 1) * vocabSize];
      sum += compareRows(this.#logits.subarray(from, to), logits.subarray(from, to), window[row + 1]!).kl;
      await nextTurn();
    }
    return sum / this.#rows.length;
  }
}

const WEIGHT_ROWS = 1024;

/** Undefined past the last row. */
async function weightRows(
  model: InspectedModel,
  name: string,
  first: number,
): Promise<Float32Array | undefined> {
  const { outputs } = model.info.linears[name]!;
  if (first >= outputs) return undefined;
  return model.weightRows(name, first, Math.min(WEIGHT_ROWS, outputs - first));
}

/** What a linear of a traced layer gave; o and down add theirs to the residual stream. */
function outputOf(
  linear: LayerLinear,
  layer: string,
  traced: Readonly<Record<string, Float32Array>>,
  before: Float32Array,
): Float32Array {
  const tap = (name: string) => traced[`${layer}.${name}`]!;
  if (linear === 'o') return difference(tap('attn_residual'), before);
  if (linear === 'down') return difference(tap('ffn_residual'), tap('attn_residual'));
  return tap(linear);
}

function difference(whole: Float32Array, part: Float32Array): Float32Array {
  return whole.map((x, i) => x - part[i]!);
}
