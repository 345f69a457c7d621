/** The sections of a model that gives vectors: how long a text takes, and what becomes of its vector. */
import type { EmbedSpeed } from '../embed-latency.js';
import type { CompareReport } from '../report.js';
import type { VectorQuality } from '../vectors.js';
import { type Line, lineChart, pointOf, ratioChart } from './charts.js';
import { type Child, element, type Markup } from './markup.js';
import { percent, significant, times } from './numbers.js';
import { figure, key, section, table, verdictOf } from './parts.js';
import { shown } from './shown.js';

const fifth = (value: number) => value.toFixed(5);

export function embeddingSection(report: CompareReport, { speedupByLength }: EmbedSpeed): Markup | undefined {
  if (speedupByLength.length === 0) return undefined;
  const [a, b] = report.modes;
  const ratios = speedupByLength.map((one) => ({ name: `${one.textTokens} tokens`, ...one }));
  return section(
    'Speed',
    element(
      'p',
      { class: 'quiet' },
      `One text at a time, from the text to its vector. Medians; lines from the best to the worst of 90 % of the samples. ` +
        `Ratios with 95 % bootstrap intervals, ${b} over ${a}: more than 1 is faster, grey is no significant difference.`,
    ),
    key([a, 'a'], [b, 'b']),
    element(
      'div',
      { class: 'charts' },
      figure(`How many times as fast is ${b}?`, ratioChart('Speedup by length', ratios)),
      figure('Time of a text, ms', lineChart('Time by length', 'ms', linesOf(report), 'tokens of the text')),
    ),
    table(['text, tokens', `${a}, ms`, 'p95', `${b}, ms`, 'p95', 'ratio (95 % interval)'], rowsOf(report)),
  );
}

function linesOf({ modes, embedding }: CompareReport): Line[] {
  return modes.map((mode, i) => ({
    name: mode,
    side: i === 0 ? 'a' : 'b',
    points: embedding!.runs
      .filter((run) => run.mode === mode)
      .map(({ textTokens, ms, samples }) => pointOf(String(textTokens), ms, samples.ms)),
  }));
}

function rowsOf(report: CompareReport): Markup[] {
  const { runs, speedupByLength } = report.embedding!;
  return speedupByLength.map(({ textTokens }, i) => {
    const cells = report.modes.flatMap((mode) => {
      const run = runs.findIndex((one) => one.mode === mode && one.textTokens === textTokens);
      const cell = (path: string) => shown(report, `embedding.runs.${run}.${path}`, significant, 'td');
      return [cell('ms'), cell('p95.ms')];
    });
    const ratio = (bound: string) => shown(report, `embedding.speedupByLength.${i}.${bound}`, times);
    return element(
      'tr',
      {},
      element('td', {}, String(textTokens)),
      cells,
      element('td', {}, ratio('ratio'), ' (', ratio('low'), ' to ', ratio('high'), ')'),
    );
  });
}

export function vectorSection(report: CompareReport, { texts, pairs }: VectorQuality): Markup {
  const [a, b] = report.modes;
  const row = (name: string, path: string, format: (value: number) => string) =>
    element('tr', {}, element('td', {}, name), shown(report, `vectors.${path}`, format, 'td'));
  return section(
    'Vectors',
    element(
      'p',
      { class: 'quiet' },
      `The vectors of ${texts} pieces of the text, of 8 to 256 words: the cosine of each in ${b} to that in ${a}, and ` +
        `whether the similarities of all ${pairs} pairs keep their order.`,
    ),
    table(
      ['cosine', ''],
      [
        row('mean', 'cosine.mean', fifth),
        row('median', 'cosine.median', fifth),
        row('1 %', 'cosine.p1', fifth),
        row('least', 'cosine.least', fifth),
        row('rank correlation (Spearman)', 'rankCorrelation', fifth),
        row('texts with the same nearest one', 'sameNearest', percent),
      ],
    ),
  );
}

/** What of it stands at the top of the page: [number, what it is]. */
export function vectorCards(report: CompareReport): [Child, ...Child[]][] {
  const { vectors, embedding, modes } = report;
  const cards: [Child, ...Child[]][] = [];
  for (const [i, one] of (embedding?.speedupByLength ?? []).entries()) {
    const value = shown(report, `embedding.speedupByLength.${i}.ratio`, times);
    cards.push([value, `a text of ${one.textTokens} tokens: ${verdictOf(one, modes[1])}`]);
  }
  if (vectors) {
    const least = shown(report, 'vectors.cosine.least', fifth);
    const correlation = shown(report, 'vectors.rankCorrelation', fifth);
    cards.push([
      shown(report, 'vectors.cosine.mean', fifth),
      'mean cosine; least ',
      least,
      ', rank correlation ',
      correlation,
    ]);
  }
  return cards;
}
