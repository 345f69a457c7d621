/** The report of `kvasir compare` for a terminal. */
import type { EmbedSpeed } from '../compare/embed-latency.js';
import { type LatencyRun, type LengthSpeedup, unmetAim } from '../compare/latency-report.js';
import type { CompareReport, ModeReport, QualityReport } from '../compare/report.js';
import type { Speedup } from '../compare/speedup.js';
import type { VectorQuality } from '../compare/vectors.js';
import { columns, size } from './report.js';

export function layoutComparison(report: CompareReport): string {
  const parts = [head(report)];
  if (report.runs.length > 0) parts.push(speed(report));
  if (report.embedding) parts.push(embedding(report, report.embedding));
  if (report.quality) parts.push(quality(report, report.quality));
  if (report.vectors) parts.push(vectors(report, report.vectors));
  if (report.layers.length > 0) parts.push(layers(report));
  if (report.layersSkipped) parts.push(`Layers were not looked at: ${report.layersSkipped}`);
  if (Object.keys(report.memory).length > 0) parts.push(memory(report));
  if (report.checks.length > 0)
    parts.push(columns(report.checks.map(({ passed, reason }) => [passed ? 'ok' : 'FAILED', reason])));
  if (!report.complete)
    parts.push(`PARTIAL: interrupted. Missing or not whole: ${report.missing.join(', ')}.`);
  return parts.join('\n\n');
}

function modeOf(report: CompareReport, name: string): ModeReport {
  return (report as unknown as Record<string, ModeReport>)[name]!;
}

function head(report: CompareReport): string {
  const { machine, text } = report;
  const modes = report.modes.map((name) => {
    const { dtype, kvDtype, kernels, threads, device, loadMs } = modeOf(report, name);
    const load = `loaded in ${(loadMs / 1000).toFixed(2)} s`;
    return [
      name,
      `weights ${dtype}, KV ${kvDtype}, ${device}, ${kernels} kernels, ${threads} threads, ${load}`,
    ];
  });
  return columns([
    [
      'model',
      `${report.model} (${report.architecture}, ${(report.parameters / 1e6).toFixed(1)} M parameters, stored as ${report.storedDtype})`,
    ],
    ...modes,
    ['machine', `${machine.cpu}, ${machine.cores} cores, ${machine.platform}`],
    ['versions', `kvasir ${machine.kvasir}, Node ${machine.node}`],
    [
      'text',
      text.windows > 0
        ? `${text.source}: ${text.windows} windows of ${text.tokens} tokens in all`
        : text.source,
    ],
  ]);
}

const times = ({ ratio, low, high, significant }: Speedup): string => {
  const interval = `${ratio.toFixed(2)}x (${low.toFixed(2)} to ${high.toFixed(2)})`;
  return significant ? interval : `${interval}: no significant difference`;
};

function speed(report: CompareReport): string {
  const [a, b] = report.modes;
  const run = (mode: string, tokens: number) =>
    report.runs.find((one) => one.mode === mode && one.promptTokens === tokens)!;
  const rows = report.speedupByLength.flatMap((speedup) => {
    const [one, other] = [run(a, speedup.promptTokens), run(b, speedup.promptTokens)];
    return speedRows(one, other, speedup);
  });
  const table = columns(rows, ['', 'prompt', a, b, `${b} against ${a} (95 % interval)`]);
  const unmet = unmetAim(report.speedupByLength);
  return [table, ...(unmet ? [unmet] : []), ...speedNotes(report)].join('\n');
}

function speedNotes({ machine }: CompareReport): string[] {
  const { spread, noisy, spreadBound, interleaved } = machine;
  const notes = [];
  if (noisy) {
    const percent = (part: number) => `${(100 * part).toFixed(0)} %`;
    notes.push(
      `Noisy machine: the quartiles of one speed lie ${percent(spread!)} apart (bound ${percent(spreadBound)}).`,
    );
  }
  if (interleaved === false) notes.push('Only one mode fits in memory: measured one after the other.');
  return notes;
}

function speedRows(one: LatencyRun, other: LatencyRun, speedup: LengthSpeedup): string[][] {
  const number = (value: number) => value.toFixed(value < 100 ? 1 : 0);
  const prompt = String(speedup.promptTokens);
  const row = (name: string, a: number, b: number, unit: string, ratio: Speedup) => [
    name,
    prompt,
    `${number(a)} ${unit}`,
    `${number(b)} ${unit}`,
    times(ratio),
  ];
  return [
    row('first token', one.ttftMs, other.ttftMs, 'ms', speedup.ttft),
    row('prefill', one.prefill, other.prefill, 'tokens/s', speedup.prefill),
    row('decode', one.decode, other.decode, 'tokens/s', speedup.decode),
  ];
}

function quality(report: CompareReport, q: QualityReport): string {
  const [a, b] = report.modes;
  const kl = (value: number) => (value === 0 ? '0' : value.toPrecision(3));
  const percent = (part: number, digits = 2) => `${(100 * part).toFixed(digits)} %`;
  const { probabilityChange: change } = q;
  const rows = [
    [
      'KL divergence',
      `mean ${kl(q.meanKl)} ± ${kl(q.meanKlError)}, median ${kl(q.medianKl)}, p99 ${kl(q.p99Kl)}, max ${kl(q.maxKl)}`,
    ],
    ['same best token', `${percent(q.sameTop1)} ± ${percent(q.sameTop1Error)}`],
    [
      "true token's probability",
      `changes by ${percent(change.rms)} RMS; 1 % to 99 %: ${percent(change.p1)} to ${percent(change.p99)}`,
    ],
    [
      'perplexity',
      `${q.perplexity[0].toFixed(3)} to ${q.perplexity[1].toFixed(3)}, ratio ${q.perplexityRatio.toFixed(5)} ± ${q.perplexityRatioError.toFixed(5)}`,
    ],
  ];
  if (q.firstDivergence) {
    const places = q.firstDivergence.map(({ firstDifferent, tokens }) =>
      firstDifferent === null ? `none in ${tokens}` : String(firstDifferent + 1),
    );
    rows.push(['greedy text', `first different token: ${places.join(', ')}`]);
  }
  return [`Quality of ${b} against ${a}: ${q.rows} tokens in ${q.windows} windows`, columns(rows)].join('\n');
}

function embedding(report: CompareReport, { runs, speedupByLength }: EmbedSpeed): string {
  const [a, b] = report.modes;
  const rows = speedupByLength.map((speedup) => {
    const cells = [a, b].map((mode) => {
      const { ms } = runs.find((run) => run.mode === mode && run.textTokens === speedup.textTokens)!;
      return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
    });
    return [String(speedup.textTokens), ...cells, times(speedup)];
  });
  const table = columns(rows, ['text, tokens', a, b, `${b} against ${a} (95 % interval)`]);
  return [table, ...speedNotes(report)].join('\n');
}

function vectors({ modes: [a, b] }: CompareReport, v: VectorQuality): string {
  const { mean, median, p1, least } = v.cosine;
  const number = (value: number) => value.toFixed(5);
  const rows = [
    ['cosine', `mean ${number(mean)}, median ${number(median)}, 1 % ${number(p1)}, least ${number(least)}`],
    ['rank correlation', `${number(v.rankCorrelation)} (Spearman, similarities of ${v.pairs} pairs)`],
    ['same nearest text', `${(100 * v.sameNearest).toFixed(1)} %`],
  ];
  return [`Vectors of ${b} against ${a}: ${v.texts} texts, ${v.dimensions} dimensions`, columns(rows)].join(
    '\n',
  );
}

const MOST_SENSITIVE = 5;

function layers({ sensitivity, layers: all, recipe }: CompareReport): string {
  const worst = sensitivity.slice(0, MOST_SENSITIVE).map(({ name, kl }, i) => {
    const linears = all
      .flatMap((layer) => layer.linears)
      .filter((one) => one.name === name || one.name.startsWith(`${name}.`));
    const largest = linears.sort((x, y) => y.local.nmse - x.local.nmse)[0];
    const error = largest
      ? `${largest.name}: output error ${largest.local.nmse.toExponential(1)} (NMSE)`
      : '';
    return [`${i + 1}. ${name}`, kl.toPrecision(3), error];
  });
  const parts = [columns(worst, ['most sensitive', 'KL alone', 'largest error of a linear in it'])];
  if (recipe) {
    const { keepFp32, meanKl, met, windows } = recipe;
    const kept = keepFp32.length > 0 ? `keepFp32: ${keepFp32.join(', ')}` : 'nothing';
    const said = met ? 'meets the bound with' : 'does not meet the bound, even with';
    parts.push(`${kept} ${said} a mean KL of ${meanKl.toPrecision(3)} over ${windows} windows`);
  }
  return parts.join('\n');
}

function memory(report: CompareReport): string {
  const modes = report.modes.filter((mode) => report.memory[mode] !== undefined);
  const rows = modes.map((mode) => {
    const { weights, kv, scratch, predicted, peakRss, baseRss } = report.memory[mode]!;
    return [mode, ...[weights, kv, scratch, predicted, peakRss - baseRss, peakRss].map(size)];
  });
  const { contextTokens } = report.memory[modes[0]!]!;
  return columns(rows, [
    `memory, ${contextTokens} tokens`,
    'weights',
    'KV cache',
    'scratch',
    'predicted',
    'measured',
    'peak with Node',
  ]);
}
