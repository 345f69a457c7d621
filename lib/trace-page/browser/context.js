/** What every part of the page looks at: the model, its tensors, and where the reader stands. */
import { tokenText } from './dom.js';
import { picture } from './heat.js';

/**
 * Where the reader stands; it is in the address too.
 * @typedef {{ part: number, layer: number, head: number, position: number }} State
 * @typedef {import('./values.js').Tensor} Tensor
 * @typedef {{ kind: string, frequencies: number[], scale?: number }} Rope
 * @typedef {{
 *   heads: number, kvHeads: number, headDim: number, scale: number, rope?: Rope, window?: number, causal: boolean,
 *   headNorm?: string, bias?: string, softCap?: number, sinks: boolean, gate: boolean,
 * }} Attention
 * @typedef {{ activation: string, gated: boolean, size: number, experts?: { count: number, used: number, sharedSize?: number } }} FeedForward
 * @typedef {{ attention?: Attention, state?: string, feedForward: FeedForward }} Layer
 */

export class Context {
  /**
   * @param {any} data of the page @param {import('./values.js').Values} values @param {State} state
   * @param {(changes: Partial<State>) => void} go
   */
  constructor(data, values, state, go) {
    this.data = data;
    this.values = values;
    this.state = state;
    this.go = go;
  }

  get spec() {
    return this.data.spec;
  }

  /** @returns {Layer} */
  get layer() {
    return this.spec.layers[this.state.layer];
  }

  /** @returns {number} */
  get tokens() {
    return this.data.tokens.length;
  }

  /** @param {number} position */
  token(position) {
    return tokenText(this.data.tokens[position].text);
  }

  /** In a sentence: '“·little” at 7'. @param {number} position */
  named(position) {
    return `“${this.token(position)}” at ${position}`;
  }

  /** '7 ·little' @param {number} position */
  place(position) {
    return `${position} ${this.token(position)}`;
  }

  /** @param {string} name @returns {Tensor | undefined} */
  tensor(name) {
    return this.values.get(name);
  }

  /** Of the layer that is looked at. @param {string} name @returns {Tensor | undefined} */
  own(name) {
    return this.values.get(`layers.${this.state.layer}.${name}`);
  }

  /** The residual stream before a layer. @param {number} [layer] */
  before(layer = this.state.layer) {
    return this.values.get(layer === 0 ? 'embed' : `layers.${layer - 1}.ffn_residual`);
  }

  /** The head of keys that a head of queries reads. @param {number} [head] */
  keyHead(head = this.state.head) {
    const { heads, kvHeads } = /** @type {Attention} */ (this.layer.attention);
    return Math.floor(head / (heads / kvHeads));
  }

  /** The chosen position that is looked at: the nearest one that every tensor has. @param {Tensor | undefined} tensor */
  positionIn(tensor) {
    const positions = tensor?.positions ?? this.values.all;
    const { position } = this.state;
    if (positions.includes(position)) return position;
    return positions.reduce((a, b) => (Math.abs(b - position) < Math.abs(a - position) ? b : a));
  }
}

/**
 * Rows of positions as a picture; a pick changes the position that is looked at, and is told.
 * @param {Context} ctx @param {Tensor | undefined} tensor
 * @param {{ title: string, head?: number, unit?: string, signed?: boolean, onpick?: (position: number, column: number) => void, column?: number }} how
 */
export function rows(ctx, tensor, { title, head = 0, unit = 'component', signed, onpick, column }) {
  if (tensor === undefined) return undefined;
  return derived(
    ctx,
    tensor.positions,
    tensor.columns,
    (position, c) => tensor.row(position, head)?.[c] ?? Number.NaN,
    {
      title,
      unit,
      signed,
      onpick,
      column,
    },
  );
}

/**
 * The same of values that the page computes.
 * @param {Context} ctx @param {number[]} positions @param {number} columns @param {(position: number, column: number) => number} value
 * @param {{ title: string, unit?: string, columnLabels?: string[], signed?: boolean, end?: number, none?: string, key?: string, said?: (value: number) => string, onpick?: (position: number, column: number) => void, column?: number }} how
 */
export function derived(ctx, positions, columns, value, { unit = 'component', onpick, column = 0, ...how }) {
  const at = Math.max(0, positions.indexOf(ctx.state.position));
  return picture({
    ...how,
    rows: positions.length,
    columns,
    value: (row, c) => value(positions[row], c),
    rowName: (row) => `token ${ctx.place(positions[row])}`,
    columnName: (c) => `${unit} ${c}`,
    rowLabels: positions.map((position) => ctx.place(position)),
    picked: [at, column],
    onpick: onpick && ((row, c) => onpick(positions[row], c)),
  });
}

/**
 * Of one head, a row for each token that looks and a column for each that is seen.
 * @param {Context} ctx @param {Tensor | undefined} tensor
 * @param {{ title: string, signed?: boolean, end?: number, none?: string, seen: (row: number, column: number) => boolean, onpick?: (position: number, key: number) => void }} how
 */
export function grid(ctx, tensor, { title, signed, end, none, seen, onpick }) {
  if (tensor === undefined) return undefined;
  const { positions } = tensor;
  const at = ctx.positionIn(tensor);
  return picture({
    title,
    rows: positions.length,
    columns: tensor.columns,
    value: (row, c) =>
      seen(positions[row], c) ? (tensor.row(positions[row], ctx.state.head)?.[c] ?? Number.NaN) : Number.NaN,
    rowName: (row) => `token ${ctx.place(positions[row])}`,
    columnName: (c) => `sees ${ctx.place(c)}`,
    rowLabels: positions.map((position) => ctx.place(position)),
    columnLabels: ctx.values.all.map((position) => ctx.token(position)),
    signed,
    end,
    none,
    picked: [positions.indexOf(at), Math.min(at, tensor.columns - 1)],
    onpick: onpick && ((row, c) => onpick(positions[row], c)),
  });
}

/**
 * What joins the stream between two of its tensors.
 * @param {Tensor | undefined} before @param {Tensor | undefined} after @param {number} position @param {number} c
 */
export function added(before, after, position, c) {
  const [x, y] = [before?.row(position), after?.row(position)];
  return x && y ? y[c] - x[c] : undefined;
}

/** Whether a token sees another one in the layer that is looked at. @param {Context} ctx @returns {(row: number, column: number) => boolean} */
export function sees(ctx) {
  const { attention } = ctx.layer;
  const window = attention?.window ?? Number.POSITIVE_INFINITY;
  return (row, column) =>
    attention?.causal ? column <= row && row - column < window : Math.abs(row - column) < window;
}

/** @param {Float32Array} x */
export function norm(x) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * x[i];
  return Math.sqrt(sum);
}
