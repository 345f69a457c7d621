/** Writes files of the safetensors format, which any reader of it takes: the header, and whole files of float32 tensors. */
import { type FileHandle, open } from 'node:fs/promises';

export interface FloatTensor {
  name: string;
  /** Outermost dimension first. */
  shape: readonly number[];
  values: Float32Array;
}

/** What a header says of one tensor. */
export interface HeaderEntry {
  name: string;
  dtype: string;
  /** Outermost dimension first. */
  shape: readonly number[];
  bytes: number;
}

/**
 * The length of the JSON, and the JSON. The tensors follow in this order, with nothing between.
 * @param wordBytes a power of 2: with spaces at its end the header is whole words of so many bytes.
 */
export function safetensorsHeader(
  entries: readonly HeaderEntry[],
  metadata: Readonly<Record<string, string>>,
  wordBytes = 8,
): Buffer {
  let at = 0;
  const tensors = entries.map(({ name, dtype, shape, bytes }) => {
    const offsets = [at, at + bytes];
    at += bytes;
    return [name, { dtype, shape, data_offsets: offsets }];
  });
  const own = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  const json = JSON.stringify({ ...own, ...Object.fromEntries(tensors) });
  const text = Buffer.from(json + ' '.repeat(-(8 + Buffer.byteLength(json)) & (wordBytes - 1)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}

/** Throws what the file system says. A file of that name is replaced. */
export async function writeSafetensors(
  path: string,
  tensors: readonly FloatTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const entries = tensors.map(({ name, shape, values }) => ({
    name,
    dtype: 'F32',
    shape,
    bytes: values.byteLength,
  }));
  const file: FileHandle = await open(path, 'w');
  try {
    await file.writeFile(safetensorsHeader(entries, metadata));
    for (const { values } of tensors) {
      await file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
  } finally {
    await file.close();
  }
}
