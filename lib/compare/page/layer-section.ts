/** The section of the page on where the error comes from. */
import type { CompareReport } from '../report.js';
import { barChart, traceChart } from './charts.js';
import { element, type Markup } from './markup.js';
import { significant } from './numbers.js';
import { figure, key, section, table } from './parts.js';
import { shown } from './shown.js';

const colours = ['weights', 'kv', 'scratch', 'bar', 'fifth', 'sixth', 'seventh', 'eighth', 'ninth'] as const;

interface LinearTrace {
  name: string;
  class: string;
  values: number[];
}

/** The errors of each kind of linear, 0 in layers that have none; those that are float32 have no error and are left out. */
function tracesOf(layers: CompareReport['layers']): LinearTrace[] {
  const kindOf = (name: string) => name.replace(/^layers\.\d+\./, '');
  const kinds = new Set(layers.flatMap(({ linears }) => linears.map(({ name }) => kindOf(name))));
  const errorIn = (layer: CompareReport['layers'][number], kind: string) =>
    layer.linears.find(({ name }) => kindOf(name) === kind)?.local.nmse ?? 0;
  return [...kinds]
    .map((name) => ({ name, values: layers.map((layer) => errorIn(layer, name)) }))
    .filter(({ values }) => values.some((value) => value > 0))
    .map((one, i) => ({ ...one, class: colours[i % colours.length]! }));
}

export function layerSection(report: CompareReport): Markup | undefined {
  const { layers, layersSkipped } = report;
  if (layersSkipped !== undefined) return section('Layers', element('p', { class: 'warn' }, layersSkipped));
  if (layers.length === 0) return undefined;
  const [a, b] = report.modes;
  const short = (name: string) => name.replace('layers.', '');
  const inner = layers.filter(({ name }) => name.startsWith('layers.'));
  const traces = tracesOf(inner);
  const piled = inner.flatMap(({ accumulated }) => (accumulated ? [accumulated.nmse] : []));
  const bars = layers.map(({ name, kl }) => ({ name: short(name), title: name, value: kl }));
  return section(
    'Layers',
    element(
      'p',
      { class: 'quiet' },
      `Left: what the output loses (KL, nats) when only one layer is ${b}. Right: error of each linear\u2019s output for the ` +
        `input that ${a} gives it, and of what is handed on when all before is ${b} too. NMSE: squared error over squared size.`,
    ),
    key(...traces.map((one): [string, string] => [one.name, one.class]), ['handed on', 'other']),
    element(
      'div',
      { class: 'charts' },
      figure('KL when only this layer is INT8', barChart('KL by layer', bars, 'layer')),
      inner.length > 1
        ? figure(
            'Error by layer and linear, NMSE',
            traceChart(
              'Error by layer and linear',
              [...traces, { name: 'handed on', class: 'other', values: piled }],
              inner.map(({ name }) => short(name)),
            ),
          )
        : undefined,
    ),
    recipeOf(report),
    sensitivityTable(report),
  );
}

function recipeOf(report: CompareReport): Markup | undefined {
  const { recipe } = report;
  if (recipe === undefined) return undefined;
  const kept = element('code', {}, JSON.stringify(recipe.keepFp32));
  return element(
    'p',
    { class: recipe.met ? 'passed' : 'failed' },
    recipe.met ? 'keepFp32: ' : 'Not even with keepFp32: ',
    kept,
    ' the mean KL is ',
    shown(report, 'recipe.meanKl', (value) => significant(value)),
    ` over ${recipe.windows} windows.`,
  );
}

const MOST_ROWS = 6;

function sensitivityTable(report: CompareReport): Markup {
  const places = report.layers.flatMap((layer, i) =>
    layer.linears.map((linear, j) => ({ name: linear.name, at: `layers.${i}.linears.${j}` })),
  );
  const format = (value: number) => significant(value);
  const rows = report.sensitivity.slice(0, MOST_ROWS).flatMap(({ name }, i) => {
    const linears = places.filter((place) => place.name === name || place.name.startsWith(`${name}.`));
    return linears.map((linear, j) =>
      element(
        'tr',
        {},
        element('td', {}, linear.name),
        j === 0 ? shown(report, `sensitivity.${i}.kl`, format, 'td') : element('td', {}),
        ['weightNmse', 'local.nmse', 'local.cosine', 'accumulated.nmse'].map((path) =>
          shown(report, `${linear.at}.${path}`, path.endsWith('cosine') ? (v) => v.toFixed(6) : format, 'td'),
        ),
      ),
    );
  });
  return table(
    ['most sensitive first', 'KL alone', 'weights, NMSE', 'output, NMSE', 'cosine', 'piled up, NMSE'],
    rows,
  );
}
