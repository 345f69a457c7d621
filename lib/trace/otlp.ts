/** A trace's timeline as OpenTelemetry's spans, in the JSON of OTLP: the text, in it each run of a layer, in it its ops. */
import { randomBytes } from 'node:crypto';
import { packageVersion } from '../version.js';
import type { ComponentTime, Timeline } from './timeline.js';

type Value = string | number;

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  /** SPAN_KIND_INTERNAL */
  kind: 1;
  /** 64-bit integers are texts in OTLP's JSON. */
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: object[];
}

function attributesOf(values: Readonly<Record<string, Value | undefined>>): object[] {
  return Object.entries(values).flatMap(([key, value]) => {
    if (value === undefined) return [];
    return [{ key, value: typeof value === 'string' ? { stringValue: value } : { intValue: String(value) } }];
  });
}

/** Ops that follow each other in one run of a layer, or outside of layers. */
function runsOf(components: readonly ComponentTime[]): ComponentTime[][] {
  const runs: ComponentTime[][] = [];
  for (const one of components) {
    const last = runs.at(-1)?.at(-1);
    if (last && last.layer === one.layer && last.position === one.position) runs.at(-1)!.push(one);
    else runs.push([one]);
  }
  return runs;
}

class Spans {
  readonly all: Span[] = [];
  readonly #traceId = randomBytes(16).toString('hex');
  readonly #epoch: bigint;

  constructor(startedAt: number) {
    this.#epoch = BigInt(Math.round(startedAt * 1e3)) * 1000n;
  }

  /** @param ns since the first op began. Returns its id. */
  add(
    name: string,
    [from, to]: readonly [number, number],
    parentSpanId: string | undefined,
    attributes: Readonly<Record<string, Value | undefined>>,
  ): string {
    const spanId = randomBytes(8).toString('hex');
    const at = (ns: number): string => String(this.#epoch + BigInt(Math.round(ns)));
    this.all.push({
      traceId: this.#traceId,
      spanId,
      ...(parentSpanId === undefined ? {} : { parentSpanId }),
      name,
      kind: 1,
      startTimeUnixNano: at(from),
      endTimeUnixNano: at(to),
      attributes: attributesOf(attributes),
    });
    return spanId;
  }
}

const endOf = ({ startNs, ns }: ComponentTime): number => startNs + ns;

/** `ExportTraceServiceRequest`. @param tokens of the text */
export function otlpTraces({ startedAt, components }: Timeline, tokens: number): object {
  const spans = new Spans(startedAt);
  const root = spans.add('trace', [0, endOf(components.at(-1)!)], undefined, { 'kvasir.tokens': tokens });
  for (const run of runsOf(components)) {
    const [first] = run as [ComponentTime];
    const { layer, position, tokens: count } = first;
    const place = { 'kvasir.layer': layer, 'kvasir.position': position, 'kvasir.tokens': count };
    const name = layer === undefined ? 'outside of layers' : `layer ${layer}`;
    const parent = spans.add(name, [first.startNs, endOf(run.at(-1)!)], root, place);
    for (const one of run) {
      spans.add(one.name, [one.startNs, endOf(one)], parent, {
        'kvasir.weight_bytes': one.weightBytes,
        'kvasir.output_bytes': one.outputBytes,
      });
    }
  }
  const resource = {
    attributes: attributesOf({ 'service.name': 'kvasir', 'service.version': packageVersion() }),
  };
  const scope = { name: 'kvasir', version: packageVersion() };
  return { resourceSpans: [{ resource, scopeSpans: [{ scope, spans: spans.all }] }] };
}
