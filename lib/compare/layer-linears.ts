/**
 * The linears of one layer, as the table of tensors has them, and what each of them reads in a traced run of that layer.
 * Experts go together: one entry stands for the same linear of all of them, over the rows that each is used for.
 */
import { withoutExpert } from '../keep-fp32.js';
import type { ModelTensor, NativeInspection, NativeModel } from '../native.js';

export type InspectedModel = NativeModel & NativeInspection;

export interface LinearGroup {
  /** 'layers.3.down'; 'layers.3.experts.down' of all experts. */
  name: string;
  linears: readonly ModelTensor[];
}

/** Intermediate tensors that linears read, and which experts the rows use. */
export const readTaps: readonly string[] = [
  'attn_norm',
  'attention',
  'attn_gated',
  'ffn_norm',
  'experts_used',
];

/** In the order of the graph. */
export function linearsOfLayer(tensors: readonly ModelTensor[], layer: number): LinearGroup[] {
  const groups = new Map<string, ModelTensor[]>();
  for (const tensor of tensors) {
    if (tensor.layer !== layer || tensor.reads === undefined) continue;
    const name = withoutExpert(tensor.name);
    groups.set(name, [...(groups.get(name) ?? []), tensor]);
  }
  return [...groups].map(([name, linears]) => ({ name, linears }));
}

/** A traced layer of one model. */
export class TracedLayer {
  readonly #model: InspectedModel;
  readonly #layer: number;
  readonly #taps: Readonly<Record<string, Float32Array>>;
  readonly #tokens: number;

  constructor(model: InspectedModel, layer: number, tokens: number, taps: Record<string, Float32Array>) {
    this.#model = model;
    this.#layer = layer;
    this.#tokens = tokens;
    this.#taps = taps;
  }

  /** Rows of the window that go through a linear: all, or those that use its expert. */
  rowsOf({ expert }: ModelTensor): number[] {
    const all = Array.from({ length: this.#tokens }, (_, row) => row);
    if (expert < 0) return all;
    const used = this.#tap('experts_used');
    const n = used.length / this.#tokens;
    return all.filter((row) => used.subarray(row * n, (row + 1) * n).includes(expert));
  }

  /** [rows, columns] what a linear reads of these rows. */
  async inputOf(linear: ModelTensor, rows: readonly number[]): Promise<Float32Array> {
    const { name, reads, columns } = linear;
    if (reads === 'activation') {
      const gateUp = name.replace(/down$/, 'gate_up');
      return this.#model.applyGateUp(gateUp, this.#gather('ffn_norm', rows));
    }
    const input = this.#gather(reads!, rows);
    if (input.length !== rows.length * columns) throw new Error(`${name} does not read ${reads}`);
    return input;
  }

  #tap(op: string): Float32Array {
    return this.#taps[`layers.${this.#layer}.${op}`]!;
  }

  #gather(op: string, rows: readonly number[]): Float32Array {
    const whole = this.#tap(op);
    if (rows.length === this.#tokens) return whole;
    const width = whole.length / this.#tokens;
    const some = new Float32Array(rows.length * width);
    for (const [i, row] of rows.entries())
      some.set(whole.subarray(row * width, (row + 1) * width), i * width);
    return some;
  }
}
