/**
 * The report as one self-contained HTML file: no script runs in it and nothing is fetched. Every number that is shown
 * names its place in the report (`data-path`), which is in the page as JSON.
 */
import type { CompareReport, ModeReport, QualityReport } from '../report.js';
import { layerSection } from './layer-section.js';
import { greedySection, memorySection, qualitySection, speedSection } from './sections.js';
import { type Child, element, jsonScript, Markup } from './markup.js';
import { megabytes, percent, significant, times } from './numbers.js';
import { verdictOf } from './parts.js';
import { shown } from './shown.js';
import { style } from './style.js';
import { embeddingSection, vectorCards, vectorSection } from './vector-sections.js';

export function comparisonPage(report: CompareReport): string {
  const [a, b] = report.modes;
  const title = `${b} against ${a}: ${report.model}`;
  const head = element(
    'head',
    {},
    element('meta', { charset: 'utf-8' }),
    element('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
    // Without an icon of its own a browser asks the server for one.
    element('link', { rel: 'icon', href: 'data:,' }),
    element('title', {}, title),
    element('style', {}, new Markup(style)),
  );
  const body = element(
    'body',
    {},
    element('h1', {}, title),
    element('p', { class: 'quiet' }, describeModel(report)),
    notices(report),
    figures(report),
    speedSection(report),
    memorySection(report),
    report.embedding && embeddingSection(report, report.embedding),
    report.vectors && vectorSection(report, report.vectors),
    report.quality && [qualitySection(report, report.quality), greedySection(report, report.quality)],
    layerSection(report),
    whatRan(report),
    jsonScript('report', report),
  );
  return `<!doctype html>\n${element('html', { lang: 'en' }, head, body).source}\n`;
}

function describeModel(report: CompareReport): Child {
  const { architecture, storedDtype, machine } = report;
  return [
    `${architecture}, `,
    shown(report, 'parameters', (value) => `${(value / 1e6).toFixed(1)} M parameters`),
    `, stored as ${storedDtype}; ${machine.cpu}, ${machine.cores} cores`,
  ];
}

function notices(report: CompareReport): Child {
  const { complete, missing, machine, checks } = report;
  const warn = (content: Child) => element('p', { class: 'warn' }, content);
  const said: Child[] = [];
  if (!complete)
    said.push(warn(`Partial: the run was interrupted. Missing or not whole: ${missing.join(', ')}.`));
  if (machine.noisy) {
    said.push(
      warn([
        'Noisy machine: the quartiles of one speed lie ',
        shown(report, 'machine.spread', (value) => percent(value, 0)),
        ' apart, more than ',
        shown(report, 'machine.spreadBound', (value) => percent(value, 0)),
        '. Run it again when nothing else runs.',
      ]),
    );
  }
  if (machine.interleaved === false) {
    said.push(warn('Only one mode fits in memory: they were measured one after the other.'));
  }
  for (const { passed, reason } of checks) {
    said.push(
      element('p', { class: passed ? 'passed' : 'failed' }, `${passed ? 'Met' : 'Not met'}: ${reason}`),
    );
  }
  return said;
}

/** The few numbers that most readers come for. */
function figures(report: CompareReport): Markup {
  const { speedup, quality, memory, modes } = report;
  const [a, b] = modes;
  const cards: Markup[] = [];
  const card = (value: Child, ...text: Child[]) =>
    cards.push(element('div', { class: 'figure' }, element('b', {}, value), element('small', {}, text)));
  for (const metric of ['prefill', 'decode'] as const) {
    if (!speedup) continue;
    card(
      shown(report, `speedup.${metric}.ratio`, times),
      `${metric}, prompt of ${speedup[metric].promptTokens}: ${verdictOf(speedup[metric], b)} (`,
      shown(report, `speedup.${metric}.low`, times),
      ' to ',
      shown(report, `speedup.${metric}.high`, times),
      ')',
    );
  }
  for (const one of vectorCards(report)) card(...one);
  if (memory[a] && memory[b]) {
    const taken = (mode: string) => memory[mode]!.peakRss - memory[mode]!.baseRss;
    card(
      percent(taken(b) / taken(a), 0),
      `of the memory: ${megabytes(taken(b))} instead of ${megabytes(taken(a))}`,
    );
  }
  if (quality) card(...klCard(report, quality));
  return element('div', { class: 'figures' }, cards);
}

function klCard(report: CompareReport, { rows }: QualityReport): [Child, ...Child[]] {
  return [
    shown(report, 'quality.meanKl', (value) => significant(value)),
    `mean KL over ${rows} tokens; same best token `,
    shown(report, 'quality.sameTop1', (value) => percent(value)),
  ];
}

function whatRan(report: CompareReport): Markup {
  const { modes, machine, text } = report;
  const entry = (name: string, value: Child) => [element('dt', {}, name), element('dd', {}, value)];
  const ran = modes.map((name) => {
    const mode = (report as unknown as Record<string, ModeReport>)[name]!;
    const { dtype, kvDtype, kernels, threads, device, deviceReason, contextLength } = mode;
    return entry(
      name,
      `weights ${dtype}, KV cache ${kvDtype}, ${device} (${deviceReason}), ${kernels} kernels, ${threads} threads, ` +
        `context ${contextLength}`,
    );
  });
  return element(
    'section',
    {},
    element('h2', {}, 'What ran'),
    element(
      'dl',
      {},
      ran,
      entry('machine', `${machine.cpu}, ${machine.cores} cores, ${machine.platform}`),
      entry('versions', `kvasir ${machine.kvasir}, Node ${machine.node}`),
      entry(
        'text',
        `${text.source}, ${text.bytes} bytes, ${text.tokens} tokens` +
          (text.windows > 0 ? `, ${text.windows} windows compared` : ' compared'),
      ),
    ),
  );
}
