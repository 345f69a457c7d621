/**
 * Where the time of a traced text went: the ops of its timeline, one entry for each op of each layer, with what it moved and
 * computed. Runs of an op over parts of the text are added up; what the logit lens ran behind each layer is kept apart.
 */
import { native } from '../native.js';
import { attentionOf, feedForwardOf, specToJson, stateOf } from '../spec.js';
import type { Traced } from '../trace/text-run.js';
import { type ComponentTime, linearBytes, linearsRead } from '../trace/timeline.js';
import type { Trace } from '../trace/trace.js';
import type { ScalePart } from './scale.js';

export interface PageOp {
  /** 'qkv', 'logits': by the tensor that it makes. */
  op: string;
  /** -1: outside of layers. */
  layer: number;
  kind: ScalePart['kind'];
  ns: number;
  /** Weights that it read, as they lie in memory with their scales: of experts those that a token of the run chose. */
  weightBytes: number;
  /** Results that it wrote, in float32. */
  outputBytes: number;
  /** Multiply-adds of linears and of attention; 0 where it has neither, or where a state is advanced. */
  operations: number;
}

export interface PageTimeline {
  /** In the order in which they ran. */
  ops: readonly PageOp[];
  /** What the logit lens took, which no answer needs. */
  lensNs: number;
}

const kinds: readonly (readonly [RegExp, ScalePart['kind']])[] = [
  [/embed/, 'embedding'],
  [/^(final_norm|logits)$/, 'output'],
  [/_norm$/, 'norm'],
  [/^(conv|delta)/, 'state'],
  [/^attn_residual$/, 'projection'],
  [/^(qkv|attention|attn_gate)/, 'attention'],
];

const lastPart = (name: string): string => name.slice(name.lastIndexOf('.') + 1);

/** What the ops of one model's text read and compute. */
class Work {
  readonly #bytes: ReadonlyMap<string, number>;
  /** Name of a linear -> its parameters. */
  readonly #sizes: ReadonlyMap<string, number>;

  constructor(
    private readonly traced: Traced,
    private readonly trace: Trace,
  ) {
    const tensors = native().tensorsOf(specToJson(traced.spec));
    this.#bytes = linearBytes(traced);
    this.#sizes = new Map(tensors.map(({ name, rows, columns }) => [name, rows * columns]));
  }

  kindOf({ name, layer }: ComponentTime): ScalePart['kind'] {
    const op = lastPart(name);
    if (op === 'attention' && layer !== undefined && attentionOf(this.traced.spec, layer) === undefined)
      return 'state';
    return kinds.find(([pattern]) => pattern.test(op))?.[1] ?? 'feed-forward';
  }

  weightBytes({ name, layer, position, tokens, weightBytes = 0 }: ComponentTime): number {
    if (lastPart(name) !== 'experts' || layer === undefined) return weightBytes;
    const chosen = this.trace.get(`layers.${layer}.experts_used`);
    const read = new Set<number>();
    for (let at = position; at < position + tokens; at++)
      for (const expert of chosen.at(at)) if (expert >= 0) read.add(expert);
    return this.#ofExperts(layer, this.#bytes, [...read]);
  }

  operations({ name, layer, position, tokens }: ComponentTime): number {
    const { spec } = this.traced;
    const op = lastPart(name);
    if (op === 'attention' && layer !== undefined) return this.#attention(layer, position, tokens);
    if (op === 'experts' && layer !== undefined) {
      const { used } = feedForwardOf(spec, layer).experts!;
      return tokens * used * this.#ofExperts(layer, this.#sizes, [0]);
    }
    const read = linearsRead(this.traced, name);
    return tokens * read.reduce((sum, one) => sum + (this.#sizes.get(one) ?? 0), 0);
  }

  /** Scores and the sum of values, of the tokens that each one sees. */
  #attention(layer: number, position: number, tokens: number): number {
    const { spec } = this.traced;
    const attention = stateOf(spec, layer) ? undefined : attentionOf(spec, layer);
    if (attention === undefined) return 0;
    const all = this.trace.tokens.length;
    const { window = all, heads, headDim } = attention;
    let seen = 0;
    for (let at = position; at < position + tokens; at++) {
      const back = Math.min(at, window - 1);
      seen += back + 1 + (attention.causal === false ? Math.min(all - 1 - at, window - 1) : 0);
    }
    return 2 * heads * headDim * seen;
  }

  #ofExperts(layer: number, sizes: ReadonlyMap<string, number>, experts: readonly number[]): number {
    const linears = experts.flatMap((expert) =>
      ['gate_up', 'down'].map((name) => `layers.${layer}.experts.${expert}.${name}`),
    );
    return linears.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
  }
}

/** @returns undefined where nothing was timed */
export function pageTimeline(traced: Traced, trace: Trace): PageTimeline | undefined {
  if (trace.timeline === undefined) return undefined;
  const work = new Work(traced, trace);
  const ops = new Map<string, PageOp>();
  // The model's own output runs last; what ran over the same tokens before it is the lens.
  const last = new Map(trace.timeline.components.map((one) => [`${one.name} ${one.position}`, one]));
  let lensNs = 0;
  for (const one of trace.timeline.components) {
    const { name, layer, position, ns, outputBytes } = one;
    if (last.get(`${name} ${position}`) !== one) {
      lensNs += ns;
      continue;
    }
    const op = ops.get(name) ?? {
      op: lastPart(name),
      layer: layer ?? -1,
      kind: work.kindOf(one),
      ...{ ns: 0, weightBytes: 0, outputBytes: 0, operations: 0 },
    };
    op.ns += ns;
    op.weightBytes += work.weightBytes(one);
    op.outputBytes += outputBytes;
    op.operations += work.operations(one);
    ops.set(name, op);
  }
  return { ops: [...ops.values()], lensNs };
}
