/**
 * Layers of a model over a text, between the engine's steps. A text of one step goes through in one piece; a longer one in
 * parts that follow each other in a sequence of the cache, which holds the keys of the layers that run and is freed when they
 * have: nothing is held between two steps, and memory is that of a part. Texts whose tokens see later ones come in one piece.
 */
import type { LayerRun, LayersSeen, NativeInspection, NativeModel } from '../native.js';
import type { Engine } from '../engine/engine.js';
import { type ModelSpec, seesAhead } from '../spec.js';
import type { HeadPatch } from './head-patch.js';

/** A loaded model, as a trace needs it. */
export interface Traced {
  engine: Engine;
  inspection: NativeInspection & Pick<NativeModel, 'createSequence' | 'freeSequence'>;
  spec: ModelSpec;
  /** Tokens of one native step. */
  stepTokens: number;
  info: { contextLength: number; device: string; linears: Readonly<Record<string, 'int8' | 'fp32'>> };
  /** Else the head is the token table. */
  hasOwnHead: boolean;
  textOf: (id: number) => string;
}

/** Tokens [first, end) of the text. */
export interface Part {
  first: number;
  end: number;
}

export interface TextLayers {
  /** Layers [first, end). */
  first: number;
  end: number;
  /** [tokens, hidden] before them; absent: the embedding. */
  input?: Float32Array;
  taps: readonly string[];
  /** Of all tokens. */
  patch?: HeadPatch;
}

export type Taps = Readonly<Record<string, Float32Array>>;
type Take = (part: Part, taps: Taps) => Promise<void>;

/** What an op took. */
export interface TimedOp {
  /** 'layers.3.qkv' */
  name: string;
  /** First token that it ran over, and how many. */
  position: number;
  tokens: number;
  /** Milliseconds of `performance.now()`. */
  startMs: number;
  ns: number;
  /** That it wrote. */
  bytes: number;
}

/** Scores of a part, all heads: 32 MB. */
const mostScores = 2 ** 23;
const scoreTaps = ['scores', 'weights', 'attention_entropy'];
const none = new Int32Array(0);

/** The whole text where it may be, else parts. @param names of native taps */
export function partsOf(
  { spec, stepTokens }: Pick<Traced, 'spec' | 'stepTokens'>,
  tokens: number,
  names: readonly string[],
): Part[] {
  let most = stepTokens;
  if (seesAhead(spec)) most = tokens;
  else if (names.some((name) => scoreTaps.includes(name))) {
    const heads = Math.max(1, ...spec.attentions.map((attention) => attention.heads));
    most = Math.min(most, Math.max(1, Math.floor(mostScores / (heads * tokens))));
  }
  const count = Math.ceil(tokens / most);
  return Array.from({ length: count }, (_, i) => ({
    first: i * most,
    end: Math.min(tokens, (i + 1) * most),
  }));
}

export class TextRun {
  /** Of what ran, where it is timed. */
  readonly ops: TimedOp[] = [];

  constructor(
    private readonly traced: Traced,
    private readonly ids: Int32Array,
    private readonly settings: { timed: boolean; signal?: AbortSignal },
  ) {}

  /**
   * Calls `take` with what was tapped of each part.
   * @returns [tokens, hidden] behind the layers. Throws what `take` throws, the signal's reason or DISPOSED.
   */
  async through(layers: TextLayers, take: Take): Promise<Float32Array> {
    const parts = partsOf(this.traced, this.ids.length, layers.taps);
    const [whole] = parts;
    if (parts.length > 1) return this.#inParts(layers, parts, take);
    const seen = await this.#visit(() => this.#run(layers, whole!));
    await take(whole!, seen.taps);
    return seen.hidden;
  }

  /** Rows [first, end) of hidden states through final norm and head. */
  async ending(hidden: Float32Array, { first, end }: Part, taps: readonly string[]): Promise<LayersSeen> {
    const { inspection, spec } = this.traced;
    const layers = spec.stack.layers.length;
    const run = {
      tokens: this.ids.subarray(first, end),
      input: hidden.subarray(first * spec.hiddenSize, end * spec.hiddenSize),
      rows: Int32Array.from({ length: end - first }, (_, i) => i),
    };
    const { timed } = this.settings;
    const look = (): Promise<LayersSeen> =>
      inspection.runLayers({ ...run, first: layers, end: layers, taps, timed });
    return this.#visit(() => this.#timed({ first, end }, look), end - first);
  }

  async #inParts(layers: TextLayers, parts: readonly Part[], take: Take): Promise<Float32Array> {
    const { engine, inspection, spec } = this.traced;
    const { signal } = this.settings;
    const hidden = new Float32Array(this.ids.length * spec.hiddenSize);
    // What is no fault of the model's goes past the visit, as it is.
    let failed: { error: unknown } | undefined;
    await this.#visit(async () => {
      const sequence = inspection.createSequence();
      try {
        for (const part of parts) {
          if (signal?.aborted || failed) return;
          engine.throwIfDisposed();
          const seen = await this.#run(layers, part, sequence);
          hidden.set(seen.hidden, part.first * spec.hiddenSize);
          try {
            await take(part, seen.taps);
          } catch (error) {
            failed = { error };
          }
        }
      } finally {
        inspection.freeSequence(sequence);
      }
    });
    if (failed) throw failed.error;
    return hidden;
  }

  #run({ first, end, input, taps, patch }: TextLayers, part: Part, sequence?: number): Promise<LayersSeen> {
    const { inspection, spec } = this.traced;
    const rowsOf = (values: Float32Array, width: number): Float32Array =>
      values.subarray(part.first * width, part.end * width);
    const run: LayerRun = {
      tokens: this.ids.subarray(part.first, part.end),
      first,
      end,
      rows: none,
      taps,
      timed: this.settings.timed,
    };
    if (input) run.input = rowsOf(input, spec.hiddenSize);
    if (sequence !== undefined) Object.assign(run, { sequence, commit: true });
    if (patch) {
      run.heads = patch.heads;
      run.attended = rowsOf(patch.attended, patch.attended.length / this.ids.length);
    }
    return this.#timed(part, () => inspection.runLayers(run));
  }

  async #timed({ first, end }: Part, run: () => Promise<LayersSeen>): Promise<LayersSeen> {
    const began = performance.now();
    const seen = await run();
    for (const { name, start, ns, bytes } of seen.times) {
      this.ops.push({ name, position: first, tokens: end - first, startMs: began + start / 1e6, ns, bytes });
    }
    return seen;
  }

  async #visit<T>(look: () => Promise<T>, positions = this.ids.length): Promise<T> {
    const { signal } = this.settings;
    signal?.throwIfAborted();
    const seen = await this.traced.engine.visit(positions, look);
    signal?.throwIfAborted();
    return seen;
  }
}
