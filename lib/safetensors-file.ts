/** Writes float32 tensors into a file of the safetensors format, which any reader of it takes. */
import { type FileHandle, open } from 'node:fs/promises';

export interface FloatTensor {
  name: string;
  /** Outermost dimension first. */
  shape: readonly number[];
  values: Float32Array;
}

/** Its length, and JSON in whole words of 8 bytes. */
function header(tensors: readonly FloatTensor[], metadata: Readonly<Record<string, string>>): Buffer {
  let at = 0;
  const entries = tensors.map(({ name, shape, values }) => {
    const offsets = [at, at + values.byteLength];
    at += values.byteLength;
    return [name, { dtype: 'F32', shape, data_offsets: offsets }];
  });
  const own = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  const json = JSON.stringify({ ...own, ...Object.fromEntries(entries) });
  const text = Buffer.from(json + ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8));
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
  const file: FileHandle = await open(path, 'w');
  try {
    await file.writeFile(header(tensors, metadata));
    for (const { values } of tensors) {
      await file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
  } finally {
    await file.close();
  }
}
