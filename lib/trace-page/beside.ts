/**
 * INT8 beside FP32: how far every component is from what FP32 has there, and where that begins. Each linear is given what
 * FP32 gives it, so that its error is its own; a damaged head or linear is found by that, whatever came before it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ErrorSum, type TensorError } from '../compare/tensor-error.js';
import { type ModelTensor, native } from '../native.js';
import { attentionOf, feedForwardOf, layerCount, type ModelSpec, specToJson } from '../spec.js';
import type { Traced } from '../trace/text-run.js';
import { joined, rowAt, type TracedTensor } from '../trace/tensor.js';
import type { Trace } from '../trace/trace.js';

export interface PlaceError extends TensorError {
  /** A linear or its part: 'layers.3.q', 'layers.3.down', 'layers.3.experts.7.down', 'lm_head'. */
  place: string;
  /** The head that most of the error is of. */
  head?: number;
}

export interface ComponentError extends TensorError {
  /** 'layers.3.attended'. */
  name: string;
  /** Of the differences. */
  largest: number;
  /** Share of the values that INT8 with a scale a row holds at the end of its range. */
  saturation: number;
  /** The largest value of a row over its root mean square, the mean of rows; and behind the cache's rotation of heads. */
  outlier: number;
  turned?: number;
}

export interface Beside {
  reference: string;
  other: string;
  /** Of linears given what the reference gives them, the greatest first. */
  ranking: PlaceError[];
  components: ComponentError[];
  /** Of the residual stream behind each layer, at each token: |difference|^2 / |reference|^2. */
  stream: number[][];
  /** Absent without an output layer. */
  parted?: {
    /** The first position at which they expect different tokens, and these. */
    position?: number;
    expected?: [string, string];
    /** Share of positions with the same most probable token. */
    same: number;
  };
}

export interface Side {
  traced: Traced;
  trace: Trace;
  /** 'fp32'. */
  name: string;
}

/** A head has the error where so much of its square is its. */
const mostOfIt = 0.75;

/** @param reference, other of the same text, with all tensors of all tokens */
export async function besideOf(reference: Side, other: Side): Promise<Beside> {
  const ranking = await new LocalErrors(reference, other).all();
  const components: ComponentError[] = [];
  for (const tensor of reference.trace.tensors) {
    if (!other.trace.has(tensor.name)) continue;
    components.push(componentError(reference.traced.spec, tensor, other.trace.get(tensor.name)));
    await nextTurn();
  }
  const parted = partingOf(reference.trace, other.trace);
  return {
    reference: reference.name,
    other: other.name,
    ranking: ranking.sort((a, b) => b.nmse - a.nmse),
    components,
    stream: streamErrors(reference.trace, other.trace),
    ...(parted ? { parted } : {}),
  };
}

function streamErrors(reference: Trace, other: Trace): number[][] {
  const streams = reference.tensors.filter(({ name }) => name.endsWith('.ffn_residual'));
  return streams.map((tensor) =>
    Array.from({ length: reference.tokens.length }, (_, position) => {
      const { nmse } = ErrorSum.of(tensor.at(position), other.get(tensor.name).at(position));
      return Number(nmse.toPrecision(3));
    }),
  );
}

function partingOf(a: Trace, b: Trace): Beside['parted'] {
  if (a.predictions.length === 0) return undefined;
  const differ = a.predictions.filter(({ top }, i) => top[0]!.id !== b.predictions[i]!.top[0]!.id);
  const same = 1 - differ.length / a.predictions.length;
  const [first] = differ;
  if (first === undefined) return { same };
  const other = b.predictions.find(({ position }) => position === first.position)!;
  return { position: first.position, expected: [first.top[0]!.text, other.top[0]!.text], same };
}

function componentError(spec: ModelSpec, tensor: TracedTensor, other: TracedTensor): ComponentError {
  let largest = 0;
  for (const [i, value] of tensor.values.entries())
    largest = Math.max(largest, Math.abs(other.values[i]! - value));
  const columns = tensor.shape.at(-1)!;
  const { outlier, saturation } = rowFacts(tensor.values, columns);
  const isHead = /\.(q_rotated|k_rotated|v)$/.test(tensor.name) && attentionOf(spec, tensor.layer!);
  const turned = isHead ? rowFacts(turnedHeads(tensor.values, columns), columns).outlier : undefined;
  const error = ErrorSum.of(tensor.values, other.values);
  return {
    name: tensor.name,
    ...error,
    largest,
    saturation,
    outlier,
    ...(turned === undefined ? {} : { turned }),
  };
}

function rowFacts(values: Float32Array, columns: number): { outlier: number; saturation: number } {
  let [outliers, saturated, rows] = [0, 0, 0];
  for (let from = 0; from < values.length; from += columns) {
    let [largest, squares] = [0, 0];
    for (let i = from; i < from + columns; i++) {
      largest = Math.max(largest, Math.abs(values[i]!));
      squares += values[i]! ** 2;
    }
    if (largest === 0) continue;
    rows += 1;
    outliers += largest / Math.sqrt(squares / columns);
    // What rounds to 127 of 127 steps.
    for (let i = from; i < from + columns; i++)
      if (Math.abs(values[i]!) >= (126.5 / 127) * largest) saturated++;
  }
  return {
    outlier: rows === 0 ? 0 : outliers / rows,
    saturation: rows === 0 ? 0 : saturated / (rows * columns),
  };
}

/** As the INT8 cache rotates heads: by a Hadamard matrix of the power of two up to 64 that divides their size. */
function turnedHeads(values: Float32Array, headDim: number): Float32Array {
  let order = 1;
  while (order < 64 && headDim % (2 * order) === 0) order *= 2;
  const turned = Float32Array.from(values);
  for (let half = 1; half < order; half *= 2) {
    for (let i = 0; i < turned.length; i++) {
      if ((i & half) !== 0) continue;
      const [a, b] = [turned[i]!, turned[i + half]!];
      turned[i] = (a + b) * Math.SQRT1_2;
      turned[i + half] = (a - b) * Math.SQRT1_2;
    }
  }
  return turned;
}

/** A part of a linear's rows, and how many heads they are. */
interface Part {
  place: string;
  rows: number;
  heads: number;
}

class LocalErrors {
  readonly #spec: ModelSpec;
  readonly #tokens: number;

  constructor(
    private readonly reference: Side,
    private readonly other: Side,
  ) {
    this.#spec = reference.traced.spec;
    this.#tokens = reference.trace.tokens.length;
  }

  async all(): Promise<PlaceError[]> {
    const errors: PlaceError[] = [];
    const layers = layerCount(this.#spec);
    for (const tensor of native().tensorsOf(specToJson(this.#spec))) {
      if (tensor.role === 'vector') continue;
      if (tensor.layer >= 0 && tensor.layer < layers) errors.push(...(await this.#ofLayer(tensor)));
      else if (tensor.name === 'lm_head' && this.reference.traced.hasOwnHead) errors.push(await this.#head());
      else if (tensor.name === 'embed.tokens') errors.push(this.#embedding());
    }
    return errors;
  }

  #embedding(): PlaceError {
    const [a, b] = [this.reference, this.other].map(({ trace }) => trace.get('token_embed').values);
    return { place: 'embed.tokens', ...ErrorSum.of(a!, b!) };
  }

  async #head(): Promise<PlaceError> {
    const x = this.reference.trace.get('final_norm').values;
    return { place: 'lm_head', ...ErrorSum.of(...(await this.#outputs('lm_head', x))) };
  }

  async #outputs(name: string, x: Float32Array): Promise<[Float32Array, Float32Array]> {
    const apply = ({ traced }: Side): Promise<Float32Array> =>
      traced.engine.visit(1, () => traced.inspection.applyLinear(name, x));
    return [await apply(this.reference), await apply(this.other)];
  }

  async #ofLayer(tensor: ModelTensor): Promise<PlaceError[]> {
    const input = await this.#inputOf(tensor);
    if (input === undefined) return [];
    const [exact, rounded] = await this.#outputs(tensor.name, input);
    const parts = this.#partsOf(tensor);
    const errors: PlaceError[] = [];
    let first = 0;
    for (const { place, rows, heads } of parts) {
      const [a, b] = [exact, rounded].map((values) => columnsOf(values, tensor.rows, first, rows));
      const head = heads > 1 ? headOf(a!, b!, rows, heads) : undefined;
      errors.push({ place, ...ErrorSum.of(a!, b!), ...(head === undefined ? {} : { head }) });
      first += rows;
    }
    if (parts.length === 1 && tensor.reads === 'attention') {
      const head = await this.#headOfOutput(tensor, input);
      if (head !== undefined) errors[0]!.head = head;
    }
    return errors;
  }

  /** [rows, columns] that the reference gives it: all tokens, or those that go through its expert. */
  async #inputOf({ name, layer, reads, expert, columns }: ModelTensor): Promise<Float32Array | undefined> {
    const { trace, traced } = this.reference;
    const at = `layers.${layer}.`;
    const tap = reads === 'attention' ? 'attended' : reads!;
    const whole = (part: string): Float32Array | undefined =>
      trace.has(at + part) ? rowsOf(trace.get(at + part)) : undefined;
    if (expert < 0) {
      const shared = name.includes('.shared.') && reads === 'activation';
      const values = whole(shared ? 'shared_activation' : tap);
      return values?.length === this.#tokens * columns ? values : undefined;
    }
    const used = trace.get(`${at}experts_used`);
    const rows = Array.from({ length: this.#tokens }, (_, row) => row).filter((row) =>
      used.at(row).includes(expert),
    );
    if (rows.length === 0) return undefined;
    const norm = trace.get(`${at}ffn_norm`);
    const x = joined(rows.map((row) => norm.at(row)));
    if (reads !== 'activation') return x;
    return traced.engine.visit(1, () => traced.inspection.applyGateUp(name.replace(/down$/, 'gate_up'), x));
  }

  #partsOf(tensor: ModelTensor): Part[] {
    const { layer, rows, name, parts } = tensor;
    const attention = attentionOf(this.#spec, layer);
    const { gated = false, size } = feedForwardOf(this.#spec, layer);
    if (name.endsWith('.qkv') && attention) {
      const { heads, kvHeads, headDim } = attention;
      return [heads, kvHeads, kvHeads].map((count, i) => ({
        place: parts[i]!,
        rows: count * headDim,
        heads: count,
      }));
    }
    if (name === `layers.${layer}.gate_up` && gated)
      return [0, 1].map((i) => ({ place: parts[i]!, rows: size, heads: 1 }));
    return [{ place: name, rows, heads: 1 }];
  }

  /** The head whose part of o's input brings most of the error. */
  async #headOfOutput(tensor: ModelTensor, input: Float32Array): Promise<number | undefined> {
    const attention = attentionOf(this.#spec, tensor.layer);
    if (attention === undefined || attention.heads < 2) return undefined;
    const { heads, headDim } = attention;
    const squares: number[] = [];
    for (let head = 0; head < heads; head++) {
      const alone = input.map((value, i) =>
        Math.floor((i % tensor.columns) / headDim) === head ? value : 0,
      );
      const [a, b] = await this.#outputs(tensor.name, alone);
      squares.push(a.reduce((sum, value, i) => sum + (b[i]! - value) ** 2, 0));
    }
    return standsOut(squares);
  }
}

function standsOut(squares: readonly number[]): number | undefined {
  const total = squares.reduce((sum, one) => sum + one, 0);
  const most = squares.indexOf(Math.max(...squares));
  return total > 0 && squares[most]! > mostOfIt * total ? most : undefined;
}

/** @param a, b [rows, columns] with `heads` heads in a row */
function headOf(a: Float32Array, b: Float32Array, columns: number, heads: number): number | undefined {
  const squares = new Array<number>(heads).fill(0);
  for (const [i, value] of a.entries())
    squares[Math.floor(((i % columns) * heads) / columns)]! += (b[i]! - value) ** 2;
  return standsOut(squares);
}

/** [tokens, columns], heads one after the other. */
function rowsOf(tensor: TracedTensor): Float32Array {
  if (tensor.shape.length === 2) return tensor.values;
  return joined(Array.from({ length: tensor.shape[1]! }, (_, token) => rowAt(tensor, token)));
}

function columnsOf(values: Float32Array, width: number, first: number, columns: number): Float32Array {
  if (columns === width) return values;
  const picked = new Float32Array((values.length / width) * columns);
  for (let row = 0; row * width < values.length; row++)
    picked.set(values.subarray(row * width + first, row * width + first + columns), row * columns);
  return picked;
}
