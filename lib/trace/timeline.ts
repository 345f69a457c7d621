/** The ops of a trace in time: what each took, the weights that it read and the values that it wrote. */
import { invalidOption } from '../given.js';
import { native } from '../native.js';
import { specToJson } from '../spec.js';
import type { TimedOp, Traced } from './text-run.js';

export interface ComponentTime {
  /** 'layers.3.qkv', 'logits': by the tensor that it makes. */
  name: string;
  layer?: number;
  /** First token of the text that it ran over, and how many. */
  position: number;
  tokens: number;
  /** Nanoseconds since the first one began. */
  startNs: number;
  ns: number;
  /** Of the linears that it goes through, as they lie in memory with their scales. Absent: it reads none, or experts. */
  weightBytes?: number;
  /** Of its result, in float32. */
  outputBytes: number;
}

export interface Timeline {
  /** Milliseconds since 1970 at which the first one began. */
  startedAt: number;
  /** In the order in which they ran. */
  components: readonly ComponentTime[];
}

/** Last part of a component's name -> the linears of its layer that it goes through. */
const linearsOf: Readonly<Record<string, readonly string[]>> = {
  qkv: ['qkv'],
  attn_gate: ['attn_gate'],
  conv_in: ['conv_in'],
  delta_in: ['delta_in'],
  delta_gates: ['delta_gates'],
  attn_residual: ['o'],
  router: ['router'],
  gate_up: ['gate_up'],
  ffn_residual: ['down'],
  shared_gate_up: ['shared.gate_up'],
  shared_gate: ['shared.down', 'shared_gate'],
};

/** An INT8 linear lies in blocks of 32 output columns and 64 values of k, with their scales. */
const int8Block = { columns: 32, values: 64, bytes: 2112 };

function bytesOf(rows: number, columns: number, dtype: 'int8' | 'fp32'): number {
  if (dtype === 'fp32') return 4 * rows * columns;
  return Math.ceil(rows / int8Block.columns) * Math.ceil(columns / int8Block.values) * int8Block.bytes;
}

/** The linears that an op goes through, by its name; none where it goes through experts. */
export function linearsRead({ hasOwnHead }: Pick<Traced, 'hasOwnHead'>, name: string): string[] {
  if (name === 'logits') return [hasOwnHead ? 'lm_head' : 'embed.tokens'];
  const [, prefix = '', last = name] = /^(layers\.\d+\.)(.*)$/.exec(name) ?? [];
  return (linearsOf[last] ?? []).map((one) => prefix + one);
}

/** Bytes of each linear by its name, as it lies in memory with its scales. */
export function linearBytes({ spec, info: { linears } }: Traced): Map<string, number> {
  const tensors = native().tensorsOf(specToJson(spec));
  return new Map(
    tensors
      .filter(({ name }) => linears[name] !== undefined)
      .map(({ name, rows, columns }) => [name, bytesOf(rows, columns, linears[name]!)]),
  );
}

/** Throws INVALID_OPTION where layers run on a GPU, whose ops run later than they are called. */
export function checkTimed({ info }: Traced): void {
  if (info.device === 'cpu') return;
  throw invalidOption(
    'timeline',
    true,
    'false where layers run on a GPU: its ops run later than they are called',
  );
}

/** Undefined where nothing was timed. */
export function timelineOf(traced: Traced, ops: readonly TimedOp[]): Timeline | undefined {
  const [first] = ops;
  if (first === undefined) return undefined;
  const bytes = linearBytes(traced);
  const components = ops.map(({ name, position, tokens, startMs, ns, bytes: outputBytes }): ComponentTime => {
    const [, layer] = /^layers\.(\d+)\./.exec(name) ?? [];
    const sizes = linearsRead(traced, name).flatMap((one) => bytes.get(one) ?? []);
    return {
      name,
      ...(layer === undefined ? {} : { layer: Number(layer) }),
      position,
      tokens,
      startNs: Math.round((startMs - first.startMs) * 1e6),
      ns,
      ...(sizes.length > 0 ? { weightBytes: sizes.reduce((a, b) => a + b) } : {}),
      outputBytes,
    };
  });
  return { startedAt: performance.timeOrigin + first.startMs, components };
}
