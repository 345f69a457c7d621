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
  if (kind === 'f32') {
    const bytes = new Uint8Array(4 * count);
    for (let i = 0; i < 4 * count; i++) bytes[i] = text.charCodeAt(i);
    return new Float32Array(bytes.buffer);
  }
  // The three upper bytes of a float32, the least first.
  const words = new Uint32Array(count);
  for (let i = 0, at = 0; i < count; i++, at += 3) {
    words[i] = (text.charCodeAt(at) << 8) | (text.charCodeAt(at + 1) << 16) | (text.charCodeAt(at + 2) << 24);
  }
  return new Float32Array(words.buffer);
}

export class Tensor {
  /** @type {Float32Array | undefined} */
  #values;
  /** Of positions that came later, all heads: [heads, columns]. @type {Map<number, Float32Array>} */
  #later = new Map();
  /** @type {{ at: number, of: number, values: Float32Array | undefined }} */
  #last = { at: -1, of: -1, values: undefined };

  /** @param {string} name @param {Entry} entry @param {Values} owner @param {Float32Array} [values] where they are not the owner's */
  constructor(name, entry, owner, values) {
    this.#values = values;
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
    return this.entry.rows === 'chosen' ? this.owner.shown : this.owner.all;
  }

  /** @param {number} position @param {Float32Array} values [heads, columns] */
  add(position, values) {
    if (this.entry.rows === 'chosen') this.#later.set(position, values);
  }

  /**
   * Values of one position, of a head where it has any; undefined where the page does not hold them. Pictures ask for a row once
   * for each of its cells: the last one is kept.
   * @param {number} position
   */
  row(position, head = 0) {
    const { at, of, values } = this.#last;
    if (values !== undefined && at === position && of === head) return values;
    const row = this.#read(position, head);
    this.#last = { at: position, of: head, values: row };
    return row;
  }

  /** @param {number} position @param {number} head */
  #read(position, head) {
    const { rows } = this.entry;
    if (rows === 'lower') return this.#lower(position, head);
    const index = rows === 'one' ? 0 : rows === 'all' ? position : this.owner.chosen.indexOf(position);
    if (index < 0) return this.#later.get(position)?.subarray(head * this.columns, (head + 1) * this.columns);
    const held = rows === 'chosen' ? this.owner.chosen.length : this.positions.length;
    const at = (head * held + index) * this.columns;
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
    /** Positions that every tensor has: those and what came later. @type {number[]} */
    this.shown = chosen;
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
  read({ at, count }, text = this.#text) {
    const size = this.#kind === 'f24' ? 4 * count : 4 * Math.ceil((4 * count) / 3);
    return decode(text.slice(at, at + size), this.#kind, count);
  }

  /** The tensors of one position more. @param {number} position @param {Record<string, Entry>} entries @param {string} text */
  add(position, entries, text) {
    for (const [name, entry] of Object.entries(entries)) {
      const values = this.read(entry, text);
      const tensor = this.#tensors.get(name);
      if (tensor) tensor.add(position, values);
      else this.#tensors.set(name, new Tensor(name, entry, this, values));
    }
    this.shown = [...this.shown, position].sort((a, b) => a - b);
  }
}
