/**
 * Where the error of INT8 comes from: each linear by itself, what has piled up until it, and what the output loses when
 * only that layer is INT8. Works on two native models of one checkpoint and on one window.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ModelTensor, native } from '../native.js';
import { layerCount, type ModelSpec, specToJson } from '../spec.js';
import { compareRows } from './divergence.js';
import {
  type InspectedModel,
  type LinearGroup,
  linearsOfLayer,
  readTaps,
  TracedLayer,
} from './layer-linears.js';
import { ErrorSum, type TensorError } from './tensor-error.js';
import { firstScored } from './windows.js';

export interface LinearError {
  /** 'layers.3.down', or 'layers.3.experts.down' of all experts together: what `keepFp32` takes. */
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

/** One entry of the ranking: a layer, or with full sensitivity a linear (of all experts together). */
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
  spec: ModelSpec;
  window: Int32Array;
  /** Rank every linear by itself too. */
  full: boolean;
  signal: AbortSignal;
  onProgress(done: number): void;
}

const none = new Int32Array(0);
/** Throws the signal's reason; what was analyzed before is in `into` then. */
export async function analyzeLayers(given: LayerInputs, into: LayerAnalysis): Promise<void> {
  const analyzer = new LayerAnalyzer(given);
  const { spec, signal, onProgress } = given;
  await analyzer.begin();
  const steps = layerCount(spec) + 1;
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
  readonly #nLayers: number;
  readonly #tensors: readonly ModelTensor[];
  /** Positions whose logits are compared. */
  readonly #rows: Int32Array;
  #logits: Float32Array = new Float32Array(0);
  /** The residual stream before the next layer, of either model. */
  #exact: Float32Array = new Float32Array(0);
  #rounded: Float32Array = new Float32Array(0);

  constructor(given: LayerInputs) {
    this.#given = given;
    this.#nLayers = layerCount(given.spec);
    this.#tensors = native().tensorsOf(specToJson(given.spec));
    const first = firstScored(given.window.length);
    this.#rows = Int32Array.from({ length: given.window.length - 1 - first }, (_, i) => first + i);
  }

  async begin(): Promise<void> {
    const { reference, window } = this.#given;
    const run = { tokens: window, first: 0, end: this.#nLayers, rows: this.#rows, taps: [] };
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
    const linear = { name, weightNmse: await this.#weightError([name]), local: read, accumulated: read };
    return { error: { name, kl, accumulated: read, linears: [linear] }, ranked: [{ name, kl }] };
  }

  async layer(index: number): Promise<Analyzed> {
    const { reference, quantized, window, full } = this.#given;
    const run = { tokens: window, first: index, end: index + 1, rows: none, taps: readTaps };
    const exact = await reference.runLayers({ ...run, input: this.#exact });
    const rounded = await quantized.runLayers({ ...run, input: this.#rounded });
    const traced = {
      exact: new TracedLayer(reference, index, window.length, exact.taps),
      rounded: new TracedLayer(quantized, index, window.length, rounded.taps),
    };
    const name = `layers.${index}`;
    const groups = linearsOfLayer(this.#tensors, index);
    const linears: LinearError[] = [];
    for (const group of groups) linears.push(await this.#errorsOf(group, traced));
    const namesOf = (some: readonly LinearGroup[]) => some.flatMap((one) => one.linears.map((l) => l.name));
    const kl = await this.#sensitivity(namesOf(groups), index, this.#exact);
    const ranked: Sensitivity[] = [];
    if (full) {
      for (const group of groups.filter((one) => one.linears.some(({ float32 }) => !float32))) {
        ranked.push({
          name: group.name,
          kl: await this.#sensitivity(namesOf([group]), index, this.#exact),
        });
      }
    } else {
      ranked.push({ name, kl });
    }
    this.#exact = exact.hidden;
    this.#rounded = rounded.hidden;
    return { error: { name, kl, accumulated: ErrorSum.of(exact.hidden, rounded.hidden), linears }, ranked };
  }

  /** An expert's rows are those that use it in FP32, in both models. */
  async #errorsOf(
    { name, linears }: LinearGroup,
    traced: { exact: TracedLayer; rounded: TracedLayer },
  ): Promise<LinearError> {
    const { reference, quantized } = this.#given;
    const local = new ErrorSum();
    const accumulated = new ErrorSum();
    for (const linear of linears) {
      const rows = traced.exact.rowsOf(linear);
      if (rows.length === 0) continue;
      const input = await traced.exact.inputOf(linear, rows);
      const output = await reference.applyLinear(linear.name, input);
      local.add(output, await quantized.applyLinear(linear.name, input));
      const piledUp = await traced.rounded.inputOf(linear, rows);
      accumulated.add(output, await quantized.applyLinear(linear.name, piledUp));
    }
    const weightNmse = await this.#weightError(linears.map((linear) => linear.name));
    return { name, weightNmse, local: local.result, accumulated: accumulated.result };
  }

  /** Undefined where it is tied to the embedding. */
  async outputLayer(): Promise<Analyzed | undefined> {
    const { reference, quantized, window } = this.#given;
    const nLayers = this.#nLayers;
    const name = 'lm_head';
    if (!(name in reference.info.linears)) return undefined;
    const run = { tokens: window, first: nLayers, end: nLayers, rows: this.#rows, taps: [] };
    const logits = (await quantized.runLayers({ ...run, input: this.#rounded })).logits;
    const local = (await quantized.runLayers({ ...run, input: this.#exact })).logits;
    const linear = {
      name,
      weightNmse: await this.#weightError([name]),
      local: ErrorSum.of(this.#logits, local),
      accumulated: ErrorSum.of(this.#logits, logits),
    };
    const kl = await this.#sensitivity([name], nLayers, this.#exact);
    return { error: { name, kl, linears: [linear] }, ranked: [{ name, kl }] };
  }

  /** Over all weights of these linears. */
  async #weightError(names: readonly string[]): Promise<number> {
    const { reference, quantized } = this.#given;
    const sum = new ErrorSum();
    for (const name of names) {
      for (let first = 0; ; first += WEIGHT_ROWS) {
        const rows = await weightRows(reference, name, first);
        if (rows === undefined) break;
        sum.add(rows, (await weightRows(quantized, name, first))!);
        await nextTurn();
      }
    }
    return sum.result.nmse;
  }

  /** Mean KL when only these linears are INT8: the run resumes at `layer` from what FP32 has there. */
  async #sensitivity(
    names: readonly string[],
    layer: number,
    input: Float32Array | undefined,
  ): Promise<number> {
    const { reference, quantized, window } = this.#given;
    reference.borrow(quantized, names);
    try {
      const run = { tokens: window, first: layer, end: this.#nLayers, rows: this.#rows, taps: [] };
      const { logits } = await reference.runLayers(input ? { ...run, input } : run);
      return await this.#meanKl(logits);
    } finally {
      reference.borrow(quantized, []);
    }
  }

  async #meanKl(logits: Float32Array): Promise<number> {
    const { spec, window } = this.#given;
    const { vocabSize } = spec;
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
