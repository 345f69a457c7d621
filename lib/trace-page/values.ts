/**
 * The numbers of a page in one text: base64 of each tensor by itself. 'f32' holds float32 as they are. 'f24' holds the
 * value rounded to four digits, in the upper three bytes of a float32, which those digits come back from.
 */

export type ValueKind = 'f32' | 'f24';
export const digitsOf: Readonly<Record<ValueKind, number>> = { f32: 6, f24: 4 };

/**
 * 'all' positions, 'chosen' ones, 'lower': all, each with the positions up to its own; 'one': no positions.
 */
export type RowsKept = 'all' | 'chosen' | 'lower' | 'one';

export interface ValueEntry {
  /** Of the whole tensor. */
  shape: readonly number[];
  rows: RowsKept;
  /** Its first character in the text. */
  at: number;
  /** Its values. */
  count: number;
}

/** Characters that so many values take. */
export function charactersOf(count: number, kind: ValueKind): number {
  return kind === 'f24' ? 4 * count : 4 * Math.ceil((4 * count) / 3);
}

/** The upper three bytes of each, of its value to four digits. */
function toFloat24(values: Float32Array): Buffer {
  const rounded = values.map((value) => (Number.isFinite(value) ? Number(value.toPrecision(4)) : value));
  const bits = new Uint32Array(rounded.buffer, rounded.byteOffset, rounded.length);
  const bytes = Buffer.allocUnsafe(3 * values.length);
  for (const [i, word] of bits.entries()) {
    const upper = Number.isFinite(rounded[i]!) ? (word + 0x80) >>> 8 : word >>> 8;
    bytes.writeUIntLE(upper & 0xffffff, 3 * i, 3);
  }
  return bytes;
}

export class ValueText {
  readonly entries: Record<string, ValueEntry> = {};
  readonly #parts: string[] = [];
  #length = 0;

  constructor(readonly kind: ValueKind) {}

  add(name: string, shape: readonly number[], rows: RowsKept, values: Float32Array): void {
    const bytes =
      this.kind === 'f24'
        ? toFloat24(values)
        : Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const text = bytes.toString('base64');
    this.entries[name] = { shape, rows, at: this.#length, count: values.length };
    this.#parts.push(text);
    this.#length += text.length;
  }

  get text(): string {
    return this.#parts.join('');
  }
}
