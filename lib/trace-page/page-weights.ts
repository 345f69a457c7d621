/**
 * The few weights that a page holds: of each linear one row, that of its largest output, whose arithmetic is written out;
 * rows of the output layer for the most probable tokens; norms; learned positions.
 */
import { isKvasirError } from '../errors.js';
import { attentionOf, feedForwardOf, layerCount } from '../spec.js';
import type { Traced } from '../trace/text-run.js';
import { rowAt } from '../trace/tensor.js';
import type { Trace } from '../trace/trace.js';
import type { PageData } from './page-data.js';
import type { ValueText } from './values.js';

export interface PageWeights {
  cells: Record<string, { row: number; bias: number }>;
  headBias?: Record<number, number>;
}

/** Of the most probable tokens at each chosen position, so many rows of the output layer. */
export const headRows = 5;

export async function addWeights(
  traced: Traced,
  trace: Trace,
  data: Pick<PageData, 'chosen' | 'predictions'>,
  text: ValueText,
): Promise<PageWeights> {
  const weights = new WeightReader(traced, trace, text);
  const position = data.chosen.at(-1)!;
  for (let layer = 0; layer < layerCount(traced.spec); layer++) {
    await weights.norm(`layers.${layer}.attn_norm`);
    await weights.layer(layer, position);
  }
  await weights.positions();
  const ids = data.chosen.flatMap(
    (at) => data.predictions[at]?.top.slice(0, headRows).map(([id]) => id) ?? [],
  );
  const headBias = await weights.head([...new Set(ids)]);
  return { cells: weights.cells, ...(headBias ? { headBias } : {}) };
}

/** Adds the rows of the output layer for these tokens. @returns their biases, where it has any */
export function addHeadRows(
  traced: Traced,
  trace: Trace,
  ids: readonly number[],
  text: ValueText,
): Promise<Record<number, number> | undefined> {
  return new WeightReader(traced, trace, text).head(ids);
}

class WeightReader {
  readonly cells: Record<string, { row: number; bias: number }> = {};

  constructor(
    private readonly traced: Traced,
    private readonly trace: Trace,
    private readonly text: ValueText,
  ) {}

  #rows(name: string, first: number, count: number): Promise<Float32Array> {
    const { engine, inspection } = this.traced;
    return engine.visit(1, () => inspection.weightRows(name, first, count));
  }

  /** What a linear makes of zeros: its bias. */
  async #biasOf(name: string, inputs: number, rows: readonly number[]): Promise<number[]> {
    const { engine, inspection } = this.traced;
    const all = await engine.visit(1, () => inspection.applyLinear(name, new Float32Array(inputs)));
    return rows.map((row) => all[row]!);
  }

  /** Its weight, and its bias where it has one. */
  async norm(name: string): Promise<void> {
    for (const part of ['weight', 'bias']) {
      const values = await this.#rows(`${name}.${part}`, 0, 1).catch((error) => {
        if (isKvasirError(error) && error.code === 'INVALID_OPTION') return undefined;
        throw error;
      });
      if (values) this.text.add(`weight.${name}.${part}`, [1, values.length], 'one', values);
    }
  }

  async layer(layer: number, position: number): Promise<void> {
    const { spec } = this.traced;
    const { trace } = this;
    const at = `layers.${layer}.`;
    const attention = attentionOf(spec, layer);
    const largest = (name: string): number | undefined =>
      trace.has(at + name) ? indexOfLargest(rowAt(trace.get(at + name), position)) : undefined;
    if (attention) {
      const [q, kv] = [attention.heads * attention.headDim, attention.kvHeads * attention.headDim];
      await this.#cells(`${at}qkv`, {
        [`${at}q`]: [largest('q'), 0],
        [`${at}k`]: [largest('k'), q],
        [`${at}v`]: [largest('v'), q + kv],
      });
      await this.#cells(`${at}o`, { [`${at}o`]: [this.#largestChange(layer, 'attn_residual', position), 0] });
    }
    const { gated = false, size, experts } = feedForwardOf(spec, layer);
    if (experts) return this.#cells(`${at}router`, { [`${at}router`]: [largest('router'), 0] });
    await this.#cells(`${at}gate_up`, {
      ...(gated ? { [`${at}gate`]: [largest('gate'), 0] } : {}),
      [`${at}up`]: [largest('up'), gated ? size : 0],
    });
    await this.#cells(`${at}down`, {
      [`${at}down`]: [this.#largestChange(layer, 'ffn_residual', position), 0],
    });
  }

  #largestChange(
    layer: number,
    name: 'attn_residual' | 'ffn_residual',
    position: number,
  ): number | undefined {
    const beforeName =
      name === 'ffn_residual'
        ? `layers.${layer}.attn_residual`
        : layer === 0
          ? 'embed'
          : `layers.${layer - 1}.ffn_residual`;
    if (!this.trace.has(`layers.${layer}.${name}`) || !this.trace.has(beforeName)) return undefined;
    const before = rowAt(this.trace.get(beforeName), position);
    return indexOfLargest(
      rowAt(this.trace.get(`layers.${layer}.${name}`), position).map((value, i) => value - before[i]!),
    );
  }

  /** @param parts name -> row among its own, and where its rows begin in the linear */
  async #cells(
    linear: string,
    parts: Readonly<Record<string, readonly [number | undefined, number]>>,
  ): Promise<void> {
    const wanted = Object.entries(parts).filter(([, [row]]) => row !== undefined);
    if (wanted.length === 0) return;
    const rows = wanted.map(([, [row, first]]) => row! + first);
    const values = await Promise.all(rows.map((row) => this.#rows(linear, row, 1)));
    const biases = await this.#biasOf(linear, values[0]!.length, rows);
    for (const [i, [name, [row]]] of wanted.entries()) {
      this.cells[name] = { row: row!, bias: biases[i]! };
      this.text.add(`cell.${name}`, [1, values[i]!.length], 'one', values[i]!);
    }
  }

  async positions(): Promise<void> {
    const { positions, positionOffset = 0 } = this.traced.spec.embedding ?? {};
    if (positions === undefined) return;
    const { length } = this.trace.tokens;
    const values = await this.#rows('embed.positions', positionOffset, length);
    this.text.add('position_embed', [length, this.traced.spec.hiddenSize], 'all', values);
  }

  /** @returns the biases of these tokens, where the output layer has any */
  async head(ids: readonly number[]): Promise<Record<number, number> | undefined> {
    if (ids.length === 0) return undefined;
    const { hasOwnHead, spec } = this.traced;
    const name = hasOwnHead ? 'lm_head' : 'embed.tokens';
    for (const id of ids)
      this.text.add(`cell.head.${id}`, [1, spec.hiddenSize], 'one', await this.#rows(name, id, 1));
    if (!hasOwnHead) return undefined;
    const biases = await this.#biasOf(name, spec.hiddenSize, ids);
    if (biases.every((bias) => bias === 0)) return undefined;
    return Object.fromEntries(ids.map((id, i) => [id, biases[i]!]));
  }
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (const [i, value] of values.entries()) if (Math.abs(value) > Math.abs(values[best]!)) best = i;
  return best;
}
