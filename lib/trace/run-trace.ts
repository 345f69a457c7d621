/**
 * Computes a text layer by layer, between the engine's steps, through the body that generates: each layer reads the residual
 * stream that the one before it left, so that memory is that of one layer, or of a part of it, and of what is kept.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { overflowError } from '../engine/engine.js';
import { invalidOption } from '../given.js';
import { attentionOf, layerCount, type ModelSpec, modelKind, seesAhead } from '../spec.js';
import { attribute, checkAttributable, type Contribution, headsAddUp } from './attribution.js';
import { type HeadPatch, headPatch } from './head-patch.js';
import {
  type Kept,
  type LayerTensorName,
  layerTensor,
  layerTensorNames,
  nativeNamesOf,
} from './layer-tensors.js';
import { nearestTokens, type NeighbourRow } from './neighbours.js';
import { RowReader } from './predictions.js';
import { intoStore } from './tensor-folder.js';
import type { TensorStore } from './tensor-store.js';
import { type Part, type Taps, TextRun, type Traced } from './text-run.js';
import { checkTimed, timelineOf } from './timeline.js';
import type { Generated, LensRow, Prediction, TracedToken } from './trace.js';
import { Trace } from './trace.js';
import type { Attributed, Intervention, TraceSettings } from './trace-options.js';

/** Logits are taken so many rows at a time. */
const rowsAtOnce = 16;

/**
 * @param generated what of the text was generated for it
 * @throws CONTEXT_OVERFLOW for a text that is too long, INVALID_OPTION, INSUFFICIENT_MEMORY, DISPOSED, the signal's reason, or
 * what the file system says of `folder`.
 */
export async function runTrace(
  traced: Traced,
  ids: Int32Array,
  generated: Generated | undefined,
  settings: TraceSettings,
): Promise<Trace> {
  const { spec, textOf, stepTokens } = traced;
  const { contextLength } = traced.info;
  if (ids.length > contextLength)
    throw overflowError(ids.length, contextLength, 'the context', 'contextLength');
  if (seesAhead(spec) && ids.length > stepTokens) {
    throw overflowError(ids.length, stepTokens, 'a step', 'contextLength');
  }
  const [from, to] = settings.tokens ?? [0, ids.length];
  if (to > ids.length) throw invalidOption('tokens', [from, to], `[from, to) within ${ids.length} tokens`);
  if (settings.timeline) checkTimed(traced);
  checkInterventions(settings.interventions, ids.length, spec);
  checkAttribution(settings.attribute, ids.length, spec);
  const count = generated?.tokens ?? 0;
  const tokens = Array.from(ids, (id, i): TracedToken => {
    return { id, text: textOf(id), generated: i >= ids.length - count };
  });
  return intoStore(settings.folder, traced, async (store, file) => {
    const run = new Run(traced, ids, settings, { from, to, heads: settings.heads }, store);
    await run.allLayers();
    const { predictions, lens, neighbours, attribution } = run;
    const tensors = await store.finish();
    const timeline = timelineOf(traced, run.text.ops);
    const found = { predictions, lens, neighbours, attribution };
    return new Trace({ tokens, from, tensors, ...found, generated, timeline, file });
  });
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
  readonly text: TextRun;
  readonly predictions: Prediction[] = [];
  readonly lens: LensRow[] = [];
  readonly neighbours: NeighbourRow[] = [];
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
    private readonly store: TensorStore,
  ) {
    this.text = new TextRun(traced, ids, { timed: settings.timeline, signal: settings.signal });
    this.#hasHead = modelKind(traced.spec) === 'decoder';
    this.#layers = layerCount(traced.spec);
    this.#reader = new RowReader(traced.spec.vocabSize, traced.textOf);
  }

  async allLayers(): Promise<void> {
    const { tensors: wanted, layers, interventions, lens } = this.settings;
    let hidden = await this.#embedded();
    const embedded = hidden;
    await this.#neighbourRows(undefined, hidden);
    const perLayer = layerTensorNames.filter((name) => wanted.has(name));
    for (let layer = 0; layer < this.#layers; ++layer) {
      const changes = interventions.filter((one) => one.layer === layer);
      const isKept = layers.includes(layer);
      if (!changes.some(({ skip, head }) => skip && head === undefined))
        hidden = await this.#layer(layer, hidden, isKept ? perLayer : []);
      hidden = changed(hidden, changes, this.traced.spec.hiddenSize);
      if (lens > 0 && this.#hasHead && isKept) await this.#lensRows(layer, hidden);
      if (isKept) await this.#neighbourRows(layer, hidden);
    }
    await this.#ending(hidden);
    if (this.settings.attribute) await this.#attribute(this.settings.attribute, embedded, hidden);
  }

  #embedded(): Promise<Float32Array> {
    const { hiddenSize } = this.traced.spec;
    const taps = ['token_embed', 'embed'].filter((name) => this.settings.tensors.has(name));
    return this.text.through({ first: 0, end: 0, taps }, async (part, seen) => {
      const { from, to } = this.#rowsOf(part);
      if (from >= to) return;
      for (const name of taps) {
        const values = seen[name]!.slice(from * hiddenSize, to * hiddenSize);
        await this.#keep(name, undefined, { shape: [to - from, hiddenSize], values }, part);
      }
    });
  }

  /** Which rows of a part are kept, counted from its first token. */
  #rowsOf({ first, end }: Part): { from: number; to: number } {
    const { from, to } = this.kept;
    return { from: Math.max(from, first) - first, to: Math.min(to, end) - first };
  }

  /** @param picked rows of a part that are kept, at least one */
  #keep(
    name: string,
    layer: number | undefined,
    { shape, values }: { shape: readonly number[]; values: Float32Array },
    { first }: Part,
  ): Promise<void> {
    const { from, to } = this.kept;
    const whole = shape.with(-2, to - from);
    return this.store.put({ name, layer, shape: whole, values, row: Math.max(from, first) - from });
  }

  async #layer(layer: number, input: Float32Array, names: readonly LayerTensorName[]): Promise<Float32Array> {
    const { spec } = this.traced;
    const { attribute: attributed } = this.settings;
    const byHeads = attributed && headsAddUp(spec) && attentionOf(spec, layer) !== undefined;
    const also: LayerTensorName[] = attributed
      ? ['attn_residual', ...(byHeads ? (['attended'] as const) : [])]
      : [];
    const patch = await this.#headPatch(layer, input);
    const taps = nativeNamesOf([...names, ...also]);
    const rows: { attention?: Float32Array; heads?: Float32Array } = {};
    const hidden = await this.text.through(
      { first: layer, end: layer + 1, input, taps, patch },
      async (part, seen) => {
        const byOp = new Map(
          Object.entries(seen).map(([name, values]) => [name.slice(name.lastIndexOf('.') + 1), values]),
        );
        if (attributed) this.#attributedRows(part, byOp, byHeads === true, rows);
        await this.#keepLayer(layer, part, byOp, names);
      },
    );
    this.settings.onProgress?.({ done: ++this.#done, total: this.#layers });
    if (attributed) {
      const feedForward = rowOf(hidden, this.#position(attributed), this.ids.length);
      this.#parts.push({
        attention: rows.attention!,
        feedForward,
        ...(rows.heads ? { heads: rows.heads } : {}),
      });
    }
    return hidden;
  }

  async #keepLayer(
    layer: number,
    part: Part,
    taps: ReadonlyMap<string, Float32Array>,
    names: readonly LayerTensorName[],
  ): Promise<void> {
    const { from, to } = this.#rowsOf(part);
    if (from >= to) return;
    const seen = { layer, tokens: part.end - part.first, positions: this.ids.length, taps };
    for (const name of names) {
      const picked = layerTensor(this.traced.spec, seen, name, { ...this.kept, from, to });
      if (picked !== undefined) await this.#keep(`layers.${layer}.${name}`, layer, picked, part);
      await nextTurn();
    }
  }

  #position({ position = this.ids.length - 1 }: Attributed): number {
    return position;
  }

  /** Of one layer, what attribution needs of its token. */
  #attributedRows(
    { first, end }: Part,
    taps: ReadonlyMap<string, Float32Array>,
    byHeads: boolean,
    rows: { attention?: Float32Array; heads?: Float32Array },
  ): void {
    const position = this.#position(this.settings.attribute!);
    if (position < first || position >= end) return;
    const row = (name: string): Float32Array => rowOf(taps.get(name)!, position - first, end - first);
    rows.attention = row('attn_residual');
    if (byHeads) rows.heads = row('attention');
  }

  async #attribute(wanted: Attributed, embedded: Float32Array, last: Float32Array): Promise<void> {
    const { spec, inspection, engine } = this.traced;
    const position = this.#position(wanted);
    const { logits, taps } = await this.text.ending(last, { first: position, end: position + 1 }, [
      'final_norm',
    ]);
    const token = wanted.token ?? this.#reader.best(logits);
    const weights = (name: string, first: number, count: number): Promise<Float32Array> =>
      engine.visit(1, () => inspection.weightRows(name, first, count));
    const row = await weights(this.traced.hasOwnHead ? 'lm_head' : 'embed.tokens', token, 1);
    const embed = rowOf(embedded, position, this.ids.length);
    const stream = { embed, layers: this.#parts, finalNorm: taps.final_norm!, logit: logits[token]! };
    this.attribution = await attribute(spec, stream, row, (layer) =>
      weights(`layers.${layer}.o`, 0, spec.hiddenSize),
    );
  }

  /** What interventions put in the place of heads' outputs. */
  async #headPatch(layer: number, input: Float32Array): Promise<HeadPatch | undefined> {
    const changes = this.settings.interventions.filter(
      (one) => one.layer === layer && one.head !== undefined,
    );
    if (changes.length === 0) return undefined;
    const whole = changes.every(({ token }) => token === undefined);
    return headPatch(
      this.traced.spec,
      changes,
      this.ids.length,
      whole ? undefined : await this.#attended(layer, input),
    );
  }

  /** [tokens, heads * headDim]: of other tokens than those of interventions a head keeps what it attended. */
  async #attended(layer: number, input: Float32Array): Promise<Float32Array> {
    const { heads, headDim } = attentionOf(this.traced.spec, layer)!;
    const attended = new Float32Array(this.ids.length * heads * headDim);
    await this.text.through(
      { first: layer, end: layer + 1, input, taps: ['attention'] },
      async (part, seen) => {
        attended.set(seen[`layers.${layer}.attention`]!, part.first * heads * headDim);
      },
    );
    return attended;
  }

  /** Rows of hidden states through final norm and head, some at a time: the next ones while these are read. */
  async #rows(
    hidden: Float32Array,
    names: readonly string[],
    take: (part: Part, seen: { logits: Float32Array; taps: Taps }) => Promise<void>,
  ): Promise<void> {
    const { from, to } = this.kept;
    const compute = (first: number) => {
      const part = { first, end: Math.min(to, first + rowsAtOnce) };
      const seen = this.text.ending(hidden, part, names);
      // Where these rows fail nobody waits for the next ones.
      seen.catch(() => {});
      return { part, seen };
    };
    let next = compute(from);
    for (let first = from; first < to; first += rowsAtOnce) {
      const { part, seen: running } = next;
      const seen = await running;
      if (part.end < to) next = compute(part.end);
      await take(part, seen);
    }
  }

  async #forLogits(
    { first, end }: Part,
    logits: Float32Array,
    take: (position: number, row: Float32Array) => void,
  ): Promise<void> {
    const { vocabSize } = this.traced.spec;
    for (let position = first; position < end; ++position) {
      const at = (position - first) * vocabSize;
      take(position, logits.subarray(at, at + vocabSize));
      if (position % 4 === 3) await nextTurn();
    }
  }

  async #lensRows(layer: number, hidden: Float32Array): Promise<void> {
    const { lens } = this.settings;
    await this.#rows(hidden, [], (part, { logits }) =>
      this.#forLogits(part, logits, (position, row) => {
        this.lens.push({ layer, position, top: this.#reader.read(row, lens).top });
      }),
    );
  }

  async #neighbourRows(layer: number | undefined, hidden: Float32Array): Promise<void> {
    const { neighbours, signal } = this.settings;
    if (neighbours === 0) return;
    const { from, to } = this.kept;
    const rows = Array.from({ length: to - from }, (_, i) => rowOf(hidden, from + i, this.ids.length));
    const found = await nearestTokens(this.traced, rows, neighbours, signal);
    for (const [i, nearest] of found.entries()) {
      this.neighbours.push({ ...(layer === undefined ? {} : { layer }), position: from + i, nearest });
    }
  }

  async #ending(hidden: Float32Array): Promise<void> {
    const { tensors: wanted, top, predictions } = this.settings;
    const { hiddenSize, vocabSize, finalNorm } = this.traced.spec;
    const predicts = this.#hasHead && predictions;
    const normed = wanted.has('final_norm') && (this.#hasHead || finalNorm !== false);
    const all = this.#hasHead && wanted.has('logits');
    if (!predicts && !normed && !all) return;
    await this.#rows(hidden, normed ? ['final_norm'] : [], async (part, { logits, taps }) => {
      const rows = part.end - part.first;
      if (normed)
        await this.#keep(
          'final_norm',
          undefined,
          { shape: [rows, hiddenSize], values: taps.final_norm! },
          part,
        );
      if (all) await this.#keep('logits', undefined, { shape: [rows, vocabSize], values: logits }, part);
      if (!predicts) return;
      await this.#forLogits(part, logits, (position, row) => {
        this.predictions.push(this.#prediction(position, row, top));
      });
    });
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
}

/** Row `index` of `count` rows, a copy. */
function rowOf(values: Float32Array, index: number, count: number): Float32Array {
  const width = values.length / count;
  return values.slice(index * width, (index + 1) * width);
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
