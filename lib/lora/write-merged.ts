/** Writes a checkpoint's tensors with an adapter's changes in them as one safetensors file, a few MiB at a time. */
import { type FileHandle, open } from 'node:fs/promises';
import { type Container, rethrow, type TensorEntry } from '../native.js';
import { safetensorsHeader } from '../safetensors-file.js';
import { addChange, bytesOfValue, type Change, encodeValues } from './merged-rows.js';

const pieceBytes = 2 ** 22;

export interface MergeTask {
  container: Container;
  /** By name of the stored tensor. */
  changes: ReadonlyMap<string, readonly Change[]>;
  /** Every tensor of floats becomes float32. */
  asFloat32: boolean;
  onBytes(written: number, total: number): void;
  signal: AbortSignal | undefined;
}

interface Target {
  entry: TensorEntry;
  dtype: string;
  bytes: number;
}

function targetOf(entry: TensorEntry, asFloat32: boolean): Target {
  const size = bytesOfValue[entry.dtype];
  if (!asFloat32 || size === undefined) return { entry, dtype: entry.dtype, bytes: entry.bytes };
  return { entry, dtype: 'F32', bytes: (entry.bytes / size) * 4 };
}

/** Returns bytes of the file. Rejects with the signal's reason, INVALID_OPTION, and what the file system says. */
export async function writeMerged(path: string, task: MergeTask): Promise<number> {
  const targets = task.container.tensors.map((entry) => targetOf(entry, task.asFloat32));
  const entries = targets.map(({ entry: { name, shape }, dtype, bytes }) => ({ name, dtype, shape, bytes }));
  const header = safetensorsHeader(entries, { format: 'pt' }, 64);
  const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  const file = await open(path, 'wx');
  try {
    await file.writeFile(header);
    let written = 0;
    for (const target of targets) {
      await writeTensor(file, target, task, (bytes) => {
        written += bytes;
        task.onBytes(written, total);
      });
    }
    await file.sync();
    return header.length + total;
  } finally {
    await file.close();
  }
}

async function writeTensor(
  file: FileHandle,
  { entry, dtype }: Target,
  { container, changes, signal }: MergeTask,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const own = changes.get(entry.name) ?? [];
  const put = async (bytes: Uint8Array): Promise<void> => {
    signal?.throwIfAborted();
    await file.writeFile(bytes);
    onBytes(bytes.length);
  };
  if (own.length === 0 && dtype === entry.dtype) {
    for (let from = 0; from < entry.bytes; from += pieceBytes) {
      const bytes = Math.min(pieceBytes, entry.bytes - from);
      await put(await container.readBytes(entry.name, from, bytes).catch(rethrow));
    }
    return;
  }
  const columns = entry.shape.at(-1) ?? 1;
  const rows = entry.shape.slice(0, -1).reduce((product, n) => product * n, 1);
  const atOnce = Math.max(1, Math.floor(pieceBytes / 8 / columns));
  for (let first = 0; first < rows; first += atOnce) {
    const count = Math.min(atOnce, rows - first);
    const values = Float64Array.from(await container.readRows(entry.name, first, count).catch(rethrow));
    for (const change of own) addChange(values, first, columns, change);
    await put(encodeValues(values, dtype, entry.name));
  }
}
