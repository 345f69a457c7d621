/**
 * A safetensors file whose tensors are written part by part, before all of them and their sizes are known: room for the header
 * is left in front, and spaces fill what of it is not needed.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type HeaderEntry, safetensorsHeader } from '../safetensors-file.js';
import { StatisticsSum, type StoredValues, type TensorStatistics } from './tensor.js';

/** More than what a header says of one tensor with a name of a trace. */
const entryBytes = 256;
/** Bytes of one call. */
const most = 2 ** 30;

/** Where a tensor lies. */
export interface Place {
  /** Byte of its first value. */
  at: number;
  /** Of its values. */
  length: number;
}

export class TensorFile {
  readonly #entries: HeaderEntry[] = [];
  #end: number;

  private constructor(
    private readonly file: FileHandle,
    private readonly headerBytes: number,
  ) {
    this.#end = headerBytes;
  }

  /** @param mostTensors that it may get. Throws what the file system says. */
  static async create(path: string, mostTensors: number): Promise<TensorFile> {
    const headerBytes = 2 ** Math.ceil(Math.log2(entryBytes * (mostTensors + 1)));
    return new TensorFile(await open(path, 'w'), headerBytes);
  }

  /** The place of the next tensor, all zeros until they are written. */
  allocate(name: string, shape: readonly number[]): Place {
    const length = shape.reduce((product, n) => product * n, 1);
    const place = { at: this.#end, length };
    this.#entries.push({ name, dtype: 'F32', shape, bytes: 4 * length });
    this.#end += 4 * length;
    return place;
  }

  /** Values from index `first` on. Throws what the file system says. */
  async write({ at }: Place, first: number, values: Float32Array): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    let done = 0;
    while (done < bytes.length) {
      const count = Math.min(most, bytes.length - done);
      done += (await this.file.write(bytes, done, count, at + 4 * first + done)).bytesWritten;
    }
  }

  /** Writes the header and closes it. Throws what the file system says. */
  async finish(): Promise<void> {
    await this.file.truncate(this.#end);
    const header = safetensorsHeader(this.#entries, {}, this.headerBytes);
    await this.file.write(header, 0, header.length, 0);
    await this.close();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.file.close().catch(() => {});
  }
}

/** Values in a file that is whole. */
export class FileValues implements StoredValues {
  readonly #statistics = new StatisticsSum();

  constructor(
    private readonly path: string,
    private readonly place: Place,
  ) {}

  get length(): number {
    return this.place.length;
  }

  get statistics(): TensorStatistics {
    return this.#statistics.statistics;
  }

  /** Of what is written. */
  count(values: Float32Array): void {
    this.#statistics.add(values);
  }

  read(first: number, count: number): Float32Array {
    const values = new Float32Array(count);
    const bytes = new Uint8Array(values.buffer);
    const file = openSync(this.path, 'r');
    try {
      let done = 0;
      while (done < bytes.length) {
        const wanted = Math.min(most, bytes.length - done);
        const read = readSync(file, bytes, done, wanted, this.place.at + 4 * first + done);
        if (read === 0) throw new Error(`${this.path} is shorter than it was when it was written.`);
        done += read;
      }
    } finally {
      closeSync(file);
    }
    return values;
  }
}
