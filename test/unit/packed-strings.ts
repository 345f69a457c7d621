/** Arrays of a GGUF file's metadata as they cross the border. */
import type { Container, PackedStrings } from '../../lib/native.js';

export function packed(strings: readonly string[]): PackedStrings {
  const parts = strings.map((string) => Buffer.from(string));
  const offsets = new Uint32Array(strings.length + 1);
  parts.forEach((part, i) => {
    offsets[i + 1] = offsets[i]! + part.length;
  });
  return { bytes: new Uint8Array(Buffer.concat(parts)), offsets };
}

/** What is no list of numbers is one of strings. */
export function metadataArrayOf(
  arrays: Record<string, readonly string[] | Float64Array>,
): Container['metadataArray'] {
  return (key) => {
    const values = arrays[key.replace('tokenizer.ggml.', '')]!;
    return values instanceof Float64Array ? values : packed(values);
  };
}
