/** Where the rows of traced tensors go while a text is computed part by part: into memory, or into a file. */
import { KvasirError } from '../errors.js';
import { availableMemory } from '../memory.js';
import { TracedTensor } from './tensor.js';
import { FileValues, type Place, type TensorFile } from './tensor-file.js';

/** Rows of a tensor [rows, columns] or [heads, rows, columns]: as many heads and columns, some of its rows. */
export interface TensorPart {
  name: string;
  layer: number | undefined;
  /** Of the whole tensor. */
  shape: readonly number[];
  values: Float32Array;
  /** The first of its rows. */
  row: number;
}

export interface TensorStore {
  /** Throws INSUFFICIENT_MEMORY, or what the file system says. */
  put(part: TensorPart): Promise<void>;
  /** In the order in which their first parts came. */
  finish(): Promise<TracedTensor[]>;
}

/** Calls take(index of the first value in the whole, values) for what lies together. */
async function forRuns(
  { shape, values, row }: TensorPart,
  take: (first: number, run: Float32Array) => void | Promise<void>,
): Promise<void> {
  const [columns, rows] = [shape.at(-1)!, shape.at(-2)!];
  const heads = shape.length === 3 ? shape[0]! : 1;
  const size = values.length / heads;
  for (let head = 0; head < heads; ++head) {
    await take((head * rows + row) * columns, values.subarray(head * size, (head + 1) * size));
  }
}

/** Bytes from which on a tensor is asked for only where there is room. */
const large = 64 * 2 ** 20;

function checkRoom(name: string, bytes: number): void {
  if (bytes < large) return;
  const available = availableMemory();
  if (bytes <= available) return;
  const megabytes = (n: number): string => `${Math.round(n / 1e6)} MB`;
  throw new KvasirError(
    'INSUFFICIENT_MEMORY',
    `The traced tensor ${name} takes ${megabytes(bytes)}, and ${megabytes(available)} are available: give a folder that it is written to, or fewer layers, heads or tokens.`,
    { details: { needed: bytes, available } },
  );
}

export class MemoryStore implements TensorStore {
  readonly #tensors = new Map<
    string,
    { layer: number | undefined; shape: readonly number[]; values: Float32Array }
  >();

  async put(part: TensorPart): Promise<void> {
    const { name, layer, shape, values } = part;
    const length = shape.reduce((product, n) => product * n, 1);
    let held = this.#tensors.get(name);
    if (held === undefined) {
      checkRoom(name, 4 * length);
      const whole = values.length === length;
      held = { layer, shape, values: whole ? values : new Float32Array(length) };
      this.#tensors.set(name, held);
      if (whole) return;
    }
    const all = held.values;
    await forRuns(part, (first, run) => all.set(run, first));
  }

  async finish(): Promise<TracedTensor[]> {
    return [...this.#tensors].map(
      ([name, { layer, shape, values }]) => new TracedTensor(name, layer, shape, values),
    );
  }
}

export class FileStore implements TensorStore {
  readonly #tensors = new Map<string, { part: TensorPart; place: Place; values: FileValues }>();

  /** @param path where the file will be when it is whole */
  constructor(
    private readonly file: TensorFile,
    private readonly path: string,
  ) {}

  async put(part: TensorPart): Promise<void> {
    const { name, shape } = part;
    let held = this.#tensors.get(name);
    if (held === undefined) {
      const place = this.file.allocate(name, shape);
      held = {
        part: { ...part, values: new Float32Array(0) },
        place,
        values: new FileValues(this.path, place),
      };
      this.#tensors.set(name, held);
    }
    const { place, values } = held;
    values.count(part.values);
    await forRuns(part, (first, run) => this.file.write(place, first, run));
  }

  async finish(): Promise<TracedTensor[]> {
    await this.file.finish();
    return [...this.#tensors.values()].map(
      ({ part, values }) => new TracedTensor(part.name, part.layer, part.shape, values),
    );
  }
}
