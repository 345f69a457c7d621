/** The sections of the page: each a chart or more, and the table behind them. */
import { type LatencyRun, unmetAim } from '../latency-report.js';
import type { CompareReport, QualityReport } from '../report.js';
import { histogramChart, type Line, lineChart, pointOf, ratioChart, stackChart } from './charts.js';
import { element, type Markup } from './markup.js';
import { megabytes, percent, significant, times } from './numbers.js';
import { figure, key, section, table } from './parts.js';
import { shown } from './shown.js';

const perSecond = (value: number) => significant(value);

const speeds = [
  { name: 'Time to first token', field: 'ttftMs', unit: 'ms', axis: 'tokens of the prompt' },
  { name: 'Prefill', field: 'prefill', unit: 'tokens/s', axis: 'tokens of the prompt' },
  { name: 'Decode', field: 'decode', unit: 'tokens/s', axis: 'tokens in the context' },
] as const;

export function speedSection(report: CompareReport): Markup | undefined {
  if (report.runs.length === 0) return undefined;
  const [a, b] = report.modes;
  const metrics = ['ttft', 'prefill', 'decode'] as const;
  const names = { ttft: 'first token', prefill: 'prefill', decode: 'decode' };
  const ratios = report.speedupByLength.flatMap((one) =>
    metrics.map((metric) => ({ name: `${names[metric]}, ${one.promptTokens}`, ...one[metric] })),
  );
  const unmet = unmetAim(report.speedupByLength);
  return section(
    'Speed',
    element(
      'p',
      { class: 'quiet' },
      `Medians; lines from the best to the worst of 90 % of the samples. Ratios with 95 % bootstrap intervals, ` +
        `${b} over ${a}: more than 1 is faster, grey is no significant difference.`,
    ),
    unmet && element('p', { class: 'quiet' }, unmet),
    key([a, 'a'], [b, 'b']),
    element(
      'div',
      { class: 'charts' },
      figure(`How many times as fast is ${b}?`, ratioChart('Speedup by prompt length', ratios)),
      speeds.map(({ name, field, unit, axis }) =>
        figure(`${name}, ${unit}`, lineChart(`${name} by length`, unit, linesOf(report, field), axis)),
      ),
    ),
    speedTable(report),
  );
}

function linesOf(report: CompareReport, field: 'ttftMs' | 'prefill' | 'decode'): Line[] {
  return report.modes.map((mode, i) => ({
    name: mode,
    side: i === 0 ? 'a' : 'b',
    points: report.runs
      .filter((run) => run.mode === mode)
      .map((run) => pointOf(String(run.promptTokens), run[field], run.samples[field])),
  }));
}

function speedTable(report: CompareReport): Markup {
  const [a, b] = report.modes;
  const indexOf = (mode: string, tokens: number) =>
    report.runs.findIndex((run: LatencyRun) => run.mode === mode && run.promptTokens === tokens);
  const rows = report.speedupByLength.flatMap(({ promptTokens }, i) =>
    (
      [
        ['first token, ms', 'ttftMs', 'ttft'],
        ['prefill, tokens/s', 'prefill', 'prefill'],
        ['decode, tokens/s', 'decode', 'decode'],
      ] as const
    ).map(([name, field, metric]) => {
      const cell = (mode: string, path: string) =>
        shown(report, `runs.${indexOf(mode, promptTokens)}.${path}`, perSecond, 'td');
      const ratio = (bound: string) => shown(report, `speedupByLength.${i}.${metric}.${bound}`, times);
      return element(
        'tr',
        {},
        element('td', {}, `${promptTokens}: ${name}`),
        [a, b].flatMap((mode) => [cell(mode, field), cell(mode, `p95.${field}`)]),
        element('td', {}, ratio('ratio'), ' (', ratio('low'), ' to ', ratio('high'), ')'),
      );
    }),
  );
  return table(['prompt', a, 'p95', b, 'p95', 'ratio (95 % interval)'], rows);
}

export function memorySection(report: CompareReport): Markup | undefined {
  const modes = report.modes.filter((mode) => report.memory[mode] !== undefined);
  if (modes.length === 0) return undefined;
  const stacks = modes.flatMap((mode) => {
    const { weights, kv, scratch, peakRss, baseRss } = report.memory[mode]!;
    return [
      {
        name: `${mode}, predicted`,
        parts: [
          { name: 'weights', value: weights, class: 'weights' },
          { name: 'KV cache', value: kv, class: 'kv' },
          { name: 'scratch', value: scratch, class: 'scratch' },
        ],
      },
      { name: 'measured', parts: [{ name: 'resident', value: peakRss - baseRss, class: 'other' }] },
    ];
  });
  const columns = ['weights', 'kv', 'scratch', 'predicted', 'peakRss', 'baseRss'] as const;
  const rows = modes.map((mode) =>
    element(
      'tr',
      {},
      element('td', {}, mode),
      columns.map((name) => shown(report, `memory.${mode}.${name}`, megabytes, 'td')),
    ),
  );
  return section(
    'Memory',
    element(
      'p',
      { class: 'quiet' },
      `Each mode alone in a process, a full context of ${report.memory[modes[0]!]!.contextTokens} tokens. Measured: the ` +
        'largest resident size less that of Node before the load.',
    ),
    key(['weights', 'weights'], ['KV cache', 'kv'], ['scratch', 'scratch'], ['measured', 'other']),
    element(
      'div',
      { class: 'charts' },
      figure('Predicted and measured', stackChart('Memory', stacks, megabytes)),
    ),
    table(['mode', 'weights', 'KV cache', 'scratch', 'predicted', 'peak with Node', 'Node alone'], rows),
  );
}

export function qualitySection(report: CompareReport, quality: QualityReport): Markup {
  const [a, b] = report.modes;
  const plain = (value: number) => significant(value);
  const row = (name: string, path: string, format: (value: number) => string, error?: string) =>
    element(
      'tr',
      {},
      element('td', {}, name),
      element(
        'td',
        {},
        shown(report, `quality.${path}`, format),
        error && [' ± ', shown(report, `quality.${error}`, format)],
      ),
    );
  const marks = [
    { name: 'median', value: quality.medianKl },
    { name: 'p99', value: quality.p99Kl },
  ];
  return section(
    'Quality',
    element(
      'p',
      { class: 'quiet' },
      `KL divergence of ${b} from ${a}, in nats, over the second halves of ${quality.windows} windows of ` +
        `${quality.windowTokens} tokens (the protocol of llama-perplexity --kl-divergence).`,
    ),
    element(
      'div',
      { class: 'charts' },
      figure('KL divergence, token by token', histogramChart('KL histogram', quality.klHistogram, marks)),
      table(
        ['KL divergence', ''],
        [
          row('mean', 'meanKl', plain, 'meanKlError'),
          row('median', 'medianKl', plain),
          row('95 %', 'p95Kl', plain),
          row('99 %', 'p99Kl', plain),
          row('99.9 %', 'p999Kl', plain),
          row('largest', 'maxKl', plain),
          row('same best token', 'sameTop1', percent, 'sameTop1Error'),
          row("true token's probability, RMS change", 'probabilityChange.rms', percent),
          row('its change, 1 %', 'probabilityChange.p1', percent),
          row('its change, 99 %', 'probabilityChange.p99', percent),
          row(`perplexity, ${a}`, 'perplexity.0', (value) => value.toFixed(3)),
          row(`perplexity, ${b}`, 'perplexity.1', (value) => value.toFixed(3)),
          row('perplexity, ratio', 'perplexityRatio', (value) => value.toFixed(5), 'perplexityRatioError'),
        ],
      ),
    ),
  );
}

export function greedySection(
  { modes }: CompareReport,
  { firstDivergence }: QualityReport,
): Markup | undefined {
  if (firstDivergence === undefined) return undefined;
  const items = firstDivergence.map(({ prompt, firstDifferent, tokens, text }) => {
    const same = firstDifferent === null;
    const found = same
      ? `the same ${tokens} tokens`
      : `token ${firstDifferent + 1} of ${tokens} is the first that differs`;
    return element(
      'div',
      { class: 'greedy' },
      element(
        'p',
        {},
        element('b', {}, found),
        ' after ',
        element('span', { class: 'quiet' }, `… ${prompt.slice(-70)}`),
      ),
      text.slice(0, same ? 1 : 2).map((one, i) => {
        const shared = sharedStart(text[0], text[1]);
        return element(
          'p',
          {},
          element('span', { class: 'quiet' }, `${same ? 'both' : modes[i]}: `),
          one.slice(0, shared),
          element('mark', {}, one.slice(shared)),
        );
      }),
    );
  });
  return section('Greedy text', items);
}

function sharedStart(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}
