/** A trace's timeline in the Trace Event Format, which Chrome's own viewer and Perfetto open: each op a complete event. */
import type { ComponentTime, Timeline } from './timeline.js';

const place = { pid: 1, tid: 1 };

function eventOf({
  name,
  layer,
  position,
  tokens,
  startNs,
  ns,
  weightBytes,
  outputBytes,
}: ComponentTime): object {
  return {
    name,
    cat: layer === undefined ? 'model' : `layer ${layer}`,
    ph: 'X',
    // Microseconds.
    ts: startNs / 1000,
    dur: ns / 1000,
    ...place,
    args: { position, tokens, ns, weightBytes, outputBytes },
  };
}

/** @param tokens of the text */
export function chromeTrace({ startedAt, components }: Timeline, tokens: number): object {
  const named = [
    { name: 'process_name', ph: 'M', ...place, args: { name: 'kvasir' } },
    { name: 'thread_name', ph: 'M', ...place, args: { name: 'ops of the trace' } },
  ];
  return {
    traceEvents: [...named, ...components.map(eventOf)],
    displayTimeUnit: 'ns',
    otherData: { startedAt: new Date(startedAt).toISOString(), tokens },
  };
}
