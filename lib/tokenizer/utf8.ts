/** Characters as UTF-8. */

export function utf8Length(point: number): number {
  if (point < 0x80) return 1;
  if (point < 0x800) return 2;
  return point < 0x10000 ? 3 : 4;
}

/** The code point that begins at a place in UTF-8. What is none gives some number: the caller knows what it reads. */
export function pointIn(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return first;
  const second = bytes[at + 1]! & 0x3f;
  if (first < 0xe0) return ((first & 0x1f) << 6) | second;
  const third = (second << 6) | (bytes[at + 2]! & 0x3f);
  if (first < 0xf0) return ((first & 0x0f) << 12) | third;
  return ((first & 0x07) << 18) | (third << 6) | (bytes[at + 3]! & 0x3f);
}
