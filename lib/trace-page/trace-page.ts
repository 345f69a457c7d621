/** `kvasir inspect --html`: what came of a traced text as one page. */
import { invalidOption } from '../given.js';
import type { ModelInfo } from '../info.js';
import { native } from '../native.js';
import { attentionOf, layerCount, modelKind, type ModelSpec, specToJson } from '../spec.js';
import { layerTensorNames } from '../trace/layer-tensors.js';
import { nearestTokens } from '../trace/neighbours.js';
import type { Traced } from '../trace/text-run.js';
import type { TracedTensor } from '../trace/tensor.js';
import type { Trace } from '../trace/trace.js';
import type { TraceOptions, TraceTensorName } from '../trace/trace-options.js';
import { packageVersion } from '../version.js';
import type { Beside } from './beside.js';
import { heldValues, keepRows, spread } from './kept-rows.js';
import { type PageContent, pageHtml } from './page.js';
import { type PageData, type PagePrediction, pageSpec } from './page-data.js';
import { pageTimeline } from './page-timeline.js';
import { addWeights } from './page-weights.js';
import { gptSizes, scaleOf } from './scale.js';
import { digitsOf, ValueText } from './values.js';

/** A loaded model, seen from inside. */
export interface PageModel {
  info: ModelInfo;
  traced: Traced;
}

/** Candidates at the chosen positions. */
const topShown = 50;
const neighboursShown = 6;
/** Behind the twenty. */
const besidePart = 21;
/** Multiplications that comparing residual streams with the token table may take: a second or so. */
const neighbourWork = 1e9;

/** What `model.trace` is asked for, so that a page can be made of it. */
export function pageTraceOptions({ spec, info }: Pick<Traced, 'spec' | 'info'>): TraceOptions {
  const outer: TraceTensorName[] = ['token_embed', 'embed', 'final_norm'];
  const decoder = modelKind(spec) === 'decoder';
  return {
    tensors: [...outer, ...layerTensorNames.filter((name) => name !== 'attention_entropy')],
    // Ops of a GPU run later than they are called.
    timeline: info.device === 'cpu',
    ...(decoder ? { lens: 1, top: Math.min(topShown, spec.vocabSize) } : {}),
  };
}

/**
 * @param trace of a whole text, with `pageTraceOptions`
 * @param wanted positions of which every tensor is held; default: all of a small page, else up to 8
 */
export async function tracePage(
  model: PageModel,
  trace: Trace,
  wanted: readonly number[] | undefined,
  beside?: Beside,
): Promise<string> {
  return pageHtml(await pageContent(model, trace, wanted, beside));
}

/** What `tracePage` writes. */
export async function pageContent(
  model: PageModel,
  trace: Trace,
  wanted: readonly number[] | undefined,
  beside?: Beside,
): Promise<PageContent> {
  const { info, traced } = model;
  const { spec } = traced;
  const tokens = trace.tokens.length;
  const beyond = wanted?.find((position) => position >= tokens);
  if (beyond !== undefined) throw invalidOption('positions', beyond, `from 0 to ${tokens - 1}`);
  const kept = keepRows(
    trace.tensors,
    tokens,
    wanted && [...new Set(wanted)].sort((a, b) => a - b),
    (tensor) => endsWithItself(spec, tensor),
  );
  const text = new ValueText(kept.kind);
  for (const tensor of trace.tensors) {
    const rows = kept.rowsOf(tensor);
    text.add(tensor.name, tensor.shape, rows, heldValues(tensor, rows, tokens, kept.chosen));
  }
  const predictions = predictionsOf(trace, kept.chosen);
  const weights = await addWeights(traced, trace, { chosen: kept.chosen, predictions }, text);
  const timeline = pageTimeline(traced, trace);
  const near = await neighboursOf(traced, trace, kept.chosen);
  const data: PageData = {
    kvasir: packageVersion(),
    digits: digitsOf[kept.kind],
    // Who asked for a comparison reads it first.
    ...(beside ? { part: besidePart } : {}),
    kind: kept.kind,
    model: modelFacts(info),
    spec: pageSpec(spec),
    tokens: trace.tokens,
    chosen: kept.chosen,
    predictions,
    lens: lensOf(trace, layerCount(spec)),
    scale: scaleOf({
      spec,
      tensors: native().tensorsOf(specToJson(spec)),
      linears: info.linears,
      scaleBytes: info.memory.scales,
      tokens,
    }),
    scaling: [...gptSizes(), sizeOf(info, spec)],
    ...(timeline ? { timeline } : {}),
    tensors: text.entries,
    statistics: Object.fromEntries(trace.tensors.map(({ name, statistics }) => [name, statistics])),
    neighbours: near,
    streamNeighbours: await streamNeighboursOf(traced, trace, kept.chosen),
    ...weights,
    ...(beside ? { beside } : {}),
  };
  return { data, values: text.text };
}

/** Of the rows of the token table; the first is the token itself, which is left out. @param chosen among those traced */
export async function neighboursOf(
  traced: Traced,
  trace: Trace,
  chosen: readonly number[],
): Promise<PageData['neighbours']> {
  const ids = chosen.map((position) => trace.tokens[position]!.id);
  const rows = chosen.map((position) => trace.get('token_embed').at(position - trace.from));
  const found = await nearestTokens(traced, rows, neighboursShown + 1);
  return Object.fromEntries(
    chosen.map((position, i) => {
      const others = found[i]!.filter(({ id }) => id !== ids[i]).slice(0, neighboursShown);
      return [position, others.map(({ text, cosine }) => [text, cosine] as const)];
    }),
  );
}

/** @param chosen positions of a whole text */
async function streamNeighboursOf(
  traced: Traced,
  trace: Trace,
  chosen: readonly number[],
): Promise<PageData['streamNeighbours']> {
  const { spec } = traced;
  const names = ['embed', ...Array.from({ length: layerCount(spec) }, (_, i) => `layers.${i}.ffn_residual`)];
  const most = Math.floor(neighbourWork / (names.length * spec.vocabSize * spec.hiddenSize));
  if (most === 0) return {};
  const positions = spread(chosen.length, most).map((i) => chosen[i]!);
  const streams = positions.flatMap((position) => names.map((name) => trace.get(name).at(position)));
  const found = await nearestTokens(traced, streams, neighboursShown);
  return Object.fromEntries(
    positions.map((position, i) => [
      position,
      found
        .slice(i * names.length, (i + 1) * names.length)
        .map((near) => near.map(({ text, cosine }) => [text, Number(cosine.toPrecision(3))] as const)),
    ]),
  );
}

/** Whether a row of attention weights is 0 behind its own position. */
function endsWithItself(spec: ModelSpec, { layer }: TracedTensor): boolean {
  return layer !== undefined && attentionOf(spec, layer)?.causal !== false;
}

function modelFacts(info: ModelInfo): PageData['model'] {
  const { name, architecture, kind, dtype, kvDtype, parameters, vocabSize, memory } = info;
  return { name, architecture, kind, dtype, kvDtype, parameters, vocabSize, weightBytes: memory.weights };
}

function sizeOf(info: ModelInfo, spec: ModelSpec): PageData['scaling'][number] {
  return {
    name: info.name,
    layers: info.layers,
    heads: spec.attentions[0]?.heads ?? 0,
    hidden: info.hiddenSize,
    vocabulary: info.vocabSize,
    context: spec.maxPositions,
    parameters: info.parameters,
    self: true,
  };
}

export function predictionsOf({ predictions }: Trace, chosen: readonly number[]): PagePrediction[] {
  return predictions.map(({ position, entropy, surprisal, top }) => {
    const [first] = top;
    const entries = (chosen.includes(position) ? top : top.slice(0, 1)).map(
      ({ id, text, logit, probability }) => [id, text, logit, probability] as const,
    );
    const logSumExp = first!.logit - Math.log(first!.probability);
    return { position, entropy, logSumExp, top: entries, ...(surprisal === undefined ? {} : { surprisal }) };
  });
}

function lensOf({ lens, tokens }: Trace, layers: number): PageData['lens'] {
  if (lens.length === 0) return [];
  return Array.from({ length: layers }, (_, layer) =>
    lens.slice(layer * tokens.length, (layer + 1) * tokens.length).map(({ top }) => {
      const [first] = top;
      return [first!.text, Number(first!.probability.toPrecision(3))] as const;
    }),
  );
}
