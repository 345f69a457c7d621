/** The tensors of the page: base64 in one text, decoded when they are first looked at. */

/**
 * One entry of the table of tensors.
 * - `shape` of the trace's tensor: [rows, columns], [heads, rows, columns].
 * - `rows`: 'all' positions, 'chosen' ones, or 'lower': all, each with the positions up to its own.
 * - `at`: its first character in the text; `count`: its values.
 * @typedef {{ shape: number[], rows: 'all' | 'chosen' | 'lower' | 'one', at: number, count: number }} Entry
 */

/** @param {string} base64 @param {'f24' | 'f32'} kind @param {number} count @returns {Float32Array} */
export function decode(base64, kind, count) {
  const text = atob(base64);
  const bytes = new Uint8Array(4 * count);
  if (kind === 'f32') {
    for (let i = 0; i < 4 * count; i++) bytes[i] = text.charCodeAt(i);
  } else {
    // The three upper bytes of a float32.
    for (let i = 0; i < count; i++)
      for (let j = 0; j < 3; j++) bytes[4 * i + 1 + j] = text.charCodeAt(3 * i + j);
  }
  return new Float32Array(bytes.buffer);
}

export class Tensor {
  /** @type {Float32Array | undefined} */
  #values;

  /** @param {string} name @param {Entry} entry @param {Values} owner */
  constructor(name, entry, owner) {
    this.name = name;
    this.entry = entry;
    this.owner = owner;
    this.columns = entry.shape[entry.shape.length - 1];
    this.heads = entry.shape.length === 3 ? entry.shape[0] : 1;
  }

  get values() {
    this.#values ??= this.owner.read(this.entry);
    return this.#values;
  }

  /** Positions that it has rows of. @returns {number[]} */
  get positions() {
    if (this.entry.rows === 'one') return [0];
    return this.entry.rows === 'chosen' ? this.owner.chosen : this.owner.all;
  }

  /** Values of one position, of a head where it has any; undefined where the page does not hold them. @param {number} position */
  row(position, head = 0) {
    const { rows } = this.entry;
    if (rows === 'lower') return this.#lower(position, head);
    const index = rows === 'one' ? 0 : rows === 'all' ? position : this.owner.chosen.indexOf(position);
    if (index < 0) return undefined;
    const at = (head * this.positions.length + index) * this.columns;
    return this.values.subarray(at, at + this.columns);
  }

  /** @param {number} position @param {number} head */
  #lower(position, head) {
    const n = this.columns;
    const row = new Float32Array(n);
    const at = (head * n * (n + 1)) / 2 + (position * (position + 1)) / 2;
    row.set(this.values.subarray(at, at + position + 1));
    return row;
  }
}

export class Values {
  #text;
  #kind;
  /** @type {Map<string, Tensor>} */
  #tensors;

  /**
   * @param {string} text @param {'f24' | 'f32'} kind @param {Record<string, Entry>} entries
   * @param {number[]} chosen positions @param {number} tokens
   */
  constructor(text, kind, entries, chosen, tokens) {
    this.#text = text;
    this.#kind = kind;
    this.chosen = chosen;
    this.all = Array.from({ length: tokens }, (_, i) => i);
    this.#tensors = new Map(
      Object.entries(entries).map(([name, entry]) => [name, new Tensor(name, entry, this)]),
    );
  }

  /** @param {string} name @returns {Tensor | undefined} */
  get(name) {
    return this.#tensors.get(name);
  }

  /** @param {Entry} entry */
  read({ at, count }) {
    const size = this.#kind === 'f24' ? 4 * count : 4 * Math.ceil((4 * count) / 3);
    return decode(this.#text.slice(at, at + size), this.#kind, count);
  }
}
