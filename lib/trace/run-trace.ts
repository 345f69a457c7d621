/**
 * Computes a text layer by layer, between the engine's steps, through the body that generates: each layer reads the residual
 * stream that the one before it left, so that memory is that of one layer and of what is kept.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Engine } from '../engine/engine.js';
import { overflowError } from '../engine/engine.js';
import { invalidOption } from '../given.js';
import type { LayerRun, NativeInspection } from '../native.js';
import { attentionOf, layerCount, type ModelSpec, modelKind } from '../spec.js';
import { attribute, checkAttributable, type Contribution, headsAddUp } from './attribution.js';
import {
  type Kept,
  type LayerTensorName,
  layerTensor,
  layerTensorNames,
  nativeNamesOf,
} from './layer-tensors.js';
import { RowReader } from './predictions.js';
import { TracedTensor } from './tensor.js';
import type { LensRow, Prediction, TracedToken } from './trace.js';
import { type HeadPatch, headPatch } from './head-patch.js';
import { Trace } from './trace.js';
import type { Attributed, Intervention, TraceSettings } from './trace-options.js';

export interface Traced {
  engine: Engine;
  inspection: NativeInspection;
  spec: ModelSpec;
  /** Tokens of one native step. */
  stepTokens: number;
  /** Else the head is the token table. */
  hasOwnHead: boolean;
  textOf: (id: number) => string;
}

/** Logits are taken so many rows at a time. */
const rowsAtOnce = 16;
const none = new Int32Array(0);

/** Throws CONTEXT_OVERFLOW for a text that no step holds, INVALID_OPTION, DISPOSED or the signal's reason. */
export async function runTrace(
  traced: Traced,
  ids: Int32Array,
  generated: number,
  settings: TraceSettings,
): Promise<Trace> {
  const { spec, stepTokens, textOf } = traced;
  if (ids.length > stepTokens) throw overflowError(ids.length, stepTokens, 'a step', 'contextLength');
  const [from, to] = settings.tokens ?? [0, ids.length];
  if (to > ids.length) throw invalidOption('tokens', [from, to], `[from, to) within ${ids.length} tokens`);
  checkInterventions(settings.interventions, ids.length, spec);
  checkAttribution(settings.attribute, ids.length, spec);
  const run = new Run(traced, ids, settings, { from, to, heads: settings.heads });
  await run.allLayers();
  const tokens = Array.from(ids, (id, i): TracedToken => {
    return { id, text: textOf(id), generated: i >= ids.length - generated };
  });
  const { tensors, predictions, lens, attribution } = run;
  return new Trace({ tokens, from, tensors, predictions, lens, attribution });
}

function checkInterventions(interventions: readonly Intervention[], tokens: number, spec: ModelSpec): void {
  for (const { layer, residual, token, attended } of interventions) {
    if (token !== undefined && token >= tokens) {
      throw invalidOption('interventions', token, `at tokens from 0 to ${tokens - 1}`);
    }
    if (residual !== undefined && token === undefined && residual.length !== tokens * spec.hiddenSize) {
      const needed = `${tokens * spec.hiddenSize} values: ${tokens} tokens of ${spec.hiddenSize}`;
      throw invalidOption('interventions', residual.length, needed);
    }
    const { headDim = 0 } = attentionOf(spec, layer) ?? {};
    if (attended !== undefined && token === undefined && attended.length !== tokens * headDim) {
      const needed = `${tokens * headDim} values: ${tokens} tokens of ${headDim}`;
      throw invalidOption('interventions', attended.length, needed);
    }
  }
}

function checkAttribution(attributed: Attributed | undefined, tokens: number, spec: ModelSpec): void {
  if (attributed === undefined) return;
  checkAttributable(spec);
  const { position = 0, token = 0 } = attributed;
  if (position >= tokens) throw invalidOption('attribute', position, `at a position from 0 to ${tokens - 1}`);
  if (token >= spec.vocabSize)
    throw invalidOption('attribute', token, `of a token from 0 to ${spec.vocabSize - 1}`);
}

class Run {
  readonly tensors: TracedTensor[] = [];
  readonly predictions: Prediction[] = [];
  readonly lens: LensRow[] = [];
  attribution: Contribution[] = [];
  readonly #parts: { attention: Float32Array; feedForward: Float32Array; heads?: Float32Array }[] = [];
  readonly #hasHead: boolean;
  readonly #layers: number;
  readonly #reader: RowReader;
  #done = 0;

  constructor(
    private readonly traced: Traced,
    private readonly ids: Int32Array,
    private readonly settings: TraceSettings,
    private readonly kept: Kept,
  ) {
    this.#hasHead = modelKind(traced.spec) === 'decoder';
    this.#layers = layerCount(traced.spec);
    this.#reader = new RowReader(traced.spec.vocabSize, traced.textOf);
  }

  async allLayers(): Promise<void> {
    const { tensors: wanted, layers, interventions, lens } = this.settings;
    const embed = await this.#look(
      0,
      0,
      undefined,
      ['token_embed', 'embed'].filter((name) => wanted.has(name)),
    );
    for (const name of ['token_embed', 'embed'])
      this.#keep(name, embed.taps[name], this.traced.spec.hiddenSize);
    let { hidden } = embed;
    const embedded = hidden;
    const perLayer = layerTensorNames.filter((name) => wanted.has(name));
    for (let layer = 0; layer < this.#layers; ++layer) {
      const changes = interventions.filter((one) => one.layer === layer);
      const isKept = layers.includes(layer);
      if (!changes.some(({ skip, head }) => skip && head === undefined))
        hidden = await this.#layer(layer, hidden, isKept ? perLayer : []);
      hidden = changed(hidden, changes, this.traced.spec.hiddenSize);
      if (lens > 0 && this.#hasHead && isKept) await this.#lensRows(layer, hidden);
    }
    await this.#ending(hidden);
    if (this.settings.attribute) await this.#attribute(this.settings.attribute, embedded, hidden);
  }

  /** Of one layer, what attribution needs of its token. */
  #addPart(attention: Float32Array, feedForward: Float32Array, heads: Float32Array | undefined): void {
    if (!this.settings.attribute) return;
    const { position = this.ids.length - 1 } = this.settings.attribute;
    const rowOf = (values: Float32Array): Float32Array => {
      const width = values.length / this.ids.length;
      return values.slice(position * width, (position + 1) * width);
    };
    this.#parts.push({
      attention: rowOf(attention),
      feedForward: rowOf(feedForward),
      ...(heads === undefined ? {} : { heads: rowOf(heads) }),
    });
  }

  async #attribute(wanted: Attributed, embedded: Float32Array, last: Float32Array): Promise<void> {
    const { spec, inspection, engine } = this.traced;
    const { position = this.ids.length - 1 } = wanted;
    const rows = Int32Array.of(position);
    const { logits, taps } = await this.#look(this.#layers, this.#layers, last, ['final_norm'], rows);
    const token = wanted.token ?? this.#reader.best(logits);
    const weights = (name: string, first: number, count: number): Promise<Float32Array> =>
      engine.visit(1, () => inspection.weightRows(name, first, count));
    const hasHead = this.traced.hasOwnHead;
    const row = await weights(hasHead ? 'lm_head' : 'embed.tokens', token, 1);
    const { hiddenSize } = spec;
    const embed = embedded.slice(position * hiddenSize, (position + 1) * hiddenSize);
    const stream = { embed, layers: this.#parts, finalNorm: taps.final_norm!, logit: logits[token]! };
    this.attribution = await attribute(spec, stream, row, (layer) =>
      weights(`layers.${layer}.o`, 0, hiddenSize),
    );
  }

  async #layer(layer: number, input: Float32Array, names: readonly LayerTensorName[]): Promise<Float32Array> {
    const { spec } = this.traced;
    const { attribute: attributed } = this.settings;
    const byHeads = attributed && headsAddUp(spec) && attentionOf(spec, layer) !== undefined;
    const also: LayerTensorName[] = attributed
      ? ['attn_residual', ...(byHeads ? (['attended'] as const) : [])]
      : [];
    const patch = await this.#headPatch(layer, input);
    const { hidden, taps } = await this.#look(
      layer,
      layer + 1,
      input,
      nativeNamesOf([...names, ...also]),
      none,
      patch,
    );
    const byOp = new Map(
      Object.entries(taps).map(([name, values]) => [name.slice(name.lastIndexOf('.') + 1), values]),
    );
    if (attributed)
      this.#addPart(byOp.get('attn_residual')!, hidden, byHeads ? byOp.get('attention') : undefined);
    for (const name of names) {
      const tensor = layerTensor(
        this.traced.spec,
        { layer, tokens: this.ids.length, taps: byOp },
        name,
        this.kept,
      );
      if (tensor !== undefined) this.tensors.push(tensor);
      await nextTurn();
    }
    return hidden;
  }

  /** What interventions put in the place of heads' outputs. */
  async #headPatch(layer: number, input: Float32Array): Promise<HeadPatch | undefined> {
    const changes = this.settings.interventions.filter(
      (one) => one.layer === layer && one.head !== undefined,
    );
    if (changes.length === 0) return undefined;
    // Of other tokens a head keeps what it attended: that is computed first.
    const own = async (): Promise<Float32Array> => {
      const { taps } = await this.#visit({
        first: layer,
        end: layer + 1,
        input,
        rows: none,
        taps: ['attention'],
      });
      return taps[`layers.${layer}.attention`]!;
    };
    const whole = changes.every(({ token }) => token === undefined);
    return headPatch(this.traced.spec, changes, this.ids.length, whole ? undefined : await own());
  }

  /** Rows of hidden states through final norm and head, some at a time. */
  async #rows(
    hidden: Float32Array,
    names: readonly string[],
    take: (row: {
      position: number;
      logits: Float32Array;
      taps: Record<string, Float32Array>;
      at: number;
    }) => void,
  ): Promise<void> {
    const { from, to } = this.kept;
    const { vocabSize } = this.traced.spec;
    for (let first = from; first < to; first += rowsAtOnce) {
      const positions = Int32Array.from({ length: Math.min(rowsAtOnce, to - first) }, (_, i) => first + i);
      const { logits, taps } = await this.#look(this.#layers, this.#layers, hidden, names, positions);
      for (const [at, position] of positions.entries()) {
        take({ position, logits: logits.subarray(at * vocabSize, (at + 1) * vocabSize), taps, at });
        if (at % 4 === 3) await nextTurn();
      }
    }
  }

  async #lensRows(layer: number, hidden: Float32Array): Promise<void> {
    const { lens } = this.settings;
    await this.#rows(hidden, [], ({ position, logits }) => {
      this.lens.push({ layer, position, top: this.#reader.read(logits, lens).top });
    });
  }

  async #ending(hidden: Float32Array): Promise<void> {
    const { tensors: wanted, top } = this.settings;
    const { hiddenSize, vocabSize } = this.traced.spec;
    if (!this.#hasHead) return;
    const { from, to } = this.kept;
    const normed = wanted.has('final_norm') ? new Float32Array((to - from) * hiddenSize) : undefined;
    const all = wanted.has('logits') ? new Float32Array((to - from) * vocabSize) : undefined;
    await this.#rows(hidden, normed ? ['final_norm'] : [], ({ position, logits, taps, at }) => {
      const row = position - from;
      normed?.set(taps.final_norm!.subarray(at * hiddenSize, (at + 1) * hiddenSize), row * hiddenSize);
      all?.set(logits, row * vocabSize);
      this.predictions.push(this.#prediction(position, logits, top));
    });
    if (normed) this.tensors.push(new TracedTensor('final_norm', undefined, [to - from, hiddenSize], normed));
    if (all) this.tensors.push(new TracedTensor('logits', undefined, [to - from, vocabSize], all));
  }

  #prediction(position: number, logits: Float32Array, top: number): Prediction {
    const { entropy, logSumExp, top: best } = this.#reader.read(logits, top);
    const next = this.ids[position + 1];
    return {
      position,
      top: best,
      entropy,
      ...(next === undefined ? {} : { surprisal: logSumExp - logits[next]! }),
    };
  }

  #keep(name: string, values: Float32Array | undefined, columns: number): void {
    if (values === undefined) return;
    const { from, to } = this.kept;
    const rows = values.slice(from * columns, to * columns);
    this.tensors.push(new TracedTensor(name, undefined, [to - from, columns], rows));
  }

  async #look(
    first: number,
    end: number,
    input: Float32Array | undefined,
    taps: readonly string[],
    rows: Int32Array = none,
    patch: HeadPatch | undefined = undefined,
  ) {
    const seen = await this.#visit({ first, end, input, rows, taps, ...patch });
    if (end > first) this.settings.onProgress?.({ done: ++this.#done, total: this.#layers });
    return seen;
  }

  async #visit(run: Omit<LayerRun, 'tokens'>) {
    const { engine, inspection } = this.traced;
    const { signal } = this.settings;
    signal?.throwIfAborted();
    const seen = await engine.visit(this.ids.length, () =>
      inspection.runLayers({ tokens: this.ids, ...run }),
    );
    signal?.throwIfAborted();
    return seen;
  }
}

/** With the residual streams that take its place; a copy where there are any. */
function changed(hidden: Float32Array, changes: readonly Intervention[], hiddenSize: number): Float32Array {
  let result = hidden;
  for (const { residual, token = 0 } of changes) {
    if (residual === undefined) continue;
    result = new Float32Array(result);
    result.set(residual, token * hiddenSize);
  }
  return result;
}
