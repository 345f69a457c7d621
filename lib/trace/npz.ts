/**
 * NumPy's `.npz`: a ZIP archive, its entries stored as they are, of one `.npy` (format 1.0, little-endian float32) for each
 * tensor. Archives of 4 GiB and more, which need other records, are refused.
 */
import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { KvasirError } from '../errors.js';
import type { FloatTensor } from '../safetensors-file.js';

const limit = 2 ** 32 - 1;
/** 1980-01-01, the first that the format has. */
const date = 0x21;

/** Magic, version and length of the description; the description itself; spaces up to a multiple of 64. */
function npyHeader(shape: readonly number[]): Buffer {
  const dimensions = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dimensions}), }`;
  const padded = `${text}${' '.repeat(-(10 + text.length + 1) & 63)}\n`;
  const head = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, 0, 0]);
  head.writeUInt16LE(padded.length, 8);
  return Buffer.concat([head, Buffer.from(padded)]);
}

interface Entry {
  name: Buffer;
  crc: number;
  bytes: number;
  /** Of its local header. */
  at: number;
}

/** What both headers of an entry say. */
function fieldsOf({ name, crc, bytes }: Entry): Buffer {
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(20, 0);
  // UTF-8 names; stored.
  fields.writeUInt16LE(0x800, 2);
  fields.writeUInt16LE(date, 8);
  fields.writeUInt32LE(crc, 10);
  fields.writeUInt32LE(bytes, 14);
  fields.writeUInt32LE(bytes, 18);
  fields.writeUInt16LE(name.length, 22);
  return fields;
}

function localHeader(entry: Entry): Buffer {
  return Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fieldsOf(entry), entry.name]);
}

function directoryEntry(entry: Entry): Buffer {
  const rest = Buffer.alloc(14);
  rest.writeUInt32LE(entry.at, 10);
  const madeBy = Buffer.from([20, 0]);
  return Buffer.concat([Buffer.from('PK\x01\x02', 'latin1'), madeBy, fieldsOf(entry), rest, entry.name]);
}

function endOf(entries: readonly Entry[], at: number, bytes: number): Buffer {
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(bytes, 12);
  end.writeUInt32LE(at, 16);
  return end;
}

function checkSize(tensors: readonly Pick<FloatTensor, 'name' | 'shape'>[]): void {
  // Headers of an entry: two of a ZIP with its name, one of 128 bytes and more of NumPy.
  const bytes = tensors.reduce(
    (sum, { name, shape }) => sum + 4 * shape.reduce((product, n) => product * n, 1) + 2 * name.length + 512,
    0,
  );
  if (bytes <= limit && tensors.length < 2 ** 16) return;
  throw new KvasirError(
    'LIMIT_EXCEEDED',
    `The tensors take ${bytes} bytes, and an .npz may have ${limit}: save them as safetensors.`,
    { details: { needed: bytes, limit } },
  );
}

/** Throws LIMIT_EXCEEDED, and what the file system says. A file of that name is replaced. */
export async function writeNpz(path: string, tensors: readonly FloatTensor[]): Promise<void> {
  checkSize(tensors);
  const file = await open(path, 'w');
  try {
    const entries: Entry[] = [];
    let at = 0;
    for (const { name, shape, values } of tensors) {
      const head = npyHeader(shape);
      const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      const bytes = head.length + data.length;
      const entry = { name: Buffer.from(`${name}.npy`), crc: crc32(data, crc32(head)), bytes, at };
      const local = localHeader(entry);
      for (const part of [local, head, data]) await file.writeFile(part);
      at += local.length + bytes;
      entries.push(entry);
    }
    const directory = Buffer.concat(entries.map(directoryEntry));
    await file.writeFile(directory);
    await file.writeFile(endOf(entries, at, directory.length));
  } finally {
    await file.close();
  }
}
