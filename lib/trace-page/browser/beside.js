/** INT8 beside FP32: where the error comes from, how it grows along the layers, and where the texts part. */
import { h, svg, tableHead } from './dom.js';
import { picture } from './heat.js';
import { percent, show } from './numbers.js';

/** @typedef {import('./context.js').Context} Context */

/** 'layers.5.up' with its layer. @param {string} place */
const layerOf = (place) => Number(/^layers\.(\d+)/.exec(place)?.[1] ?? Number.NaN);

/** @type {Record<string, number>} the part that shows what a linear gives */
const partOf = {
  qkv: 7,
  q: 7,
  k: 7,
  v: 7,
  o: 12,
  gate: 13,
  up: 13,
  gate_up: 13,
  down: 13,
  embed: 2,
  tokens: 2,
  lm_head: 17,
};

/** @param {Context} ctx @param {string} place @param {number} [head] */
function link(ctx, place, head) {
  const layer = layerOf(place);
  const part = partOf[place.slice(place.lastIndexOf('.') + 1)] ?? 15;
  return h(
    'button',
    {
      type: 'button',
      class: 'link',
      onclick: () =>
        ctx.go({
          part,
          ...(Number.isNaN(layer) ? {} : { layer }),
          ...(head === undefined ? {} : { head }),
        }),
    },
    place,
  );
}

/** Places that are shown, and those that are there at all. */
const [shownPlaces, mostPlaces] = [12, 40];

/** @param {Context} ctx */
function ranking(ctx) {
  const { ranking: places } = ctx.data.beside;
  const most = places[0]?.nmse || 1;
  const row = (/** @type {any} */ one, /** @type {number} */ i) =>
    h(
      'tr',
      { 'data-place': one.head === undefined ? one.place : `${one.place} head ${one.head}` },
      h('td', {}, i + 1),
      h(
        'th',
        { scope: 'row' },
        link(ctx, one.place, one.head),
        one.head !== undefined && ` head ${one.head}`,
      ),
      h('td', {}, show(one.nmse, 3)),
      h('td', {}, show(one.cosine, 6)),
      h(
        'td',
        { class: 'bar' },
        h('i', {
          class: 'plus',
          style: `width:${(100 * one.nmse) / most}%`,
        }),
      ),
    );
  const table = (/** @type {any[]} */ some, /** @type {number} */ first) =>
    h(
      'div',
      { class: 'scroll' },
      h(
        'table',
        { class: 'ranking' },
        tableHead(['', 'place', 'squared error / size', 'cosine', '']),
        h(
          'tbody',
          {},
          some.map((one, i) => row(one, first + i)),
        ),
      ),
    );
  return h(
    'section',
    {},
    h('h3', {}, 'Where the error comes from'),
    h(
      'p',
      { class: 'quiet' },
      'Each linear is given what FP32 gives it: its error is its own. The greatest stands first; a head is named where most of the error is its.',
    ),
    table(places.slice(0, shownPlaces), 0),
    places.length > shownPlaces &&
      h(
        'details',
        {},
        h('summary', {}, `The next ${Math.min(mostPlaces, places.length) - shownPlaces}`),
        table(places.slice(shownPlaces, mostPlaces), shownPlaces),
      ),
  );
}

/** Of the residual stream behind each layer, on a logarithmic axis. @param {Context} ctx */
function growth(ctx) {
  const layers = ctx.spec.layers.map((/** @type {unknown} */ _, /** @type {number} */ layer) =>
    ctx.data.beside.components.find((/** @type {any} */ one) => one.name === `layers.${layer}.ffn_residual`),
  );
  const [width, height, left] = [640, 180, 60];
  const logs = layers.map((/** @type {any} */ one) => Math.log10(Math.max(1e-12, one.nmse)));
  const [low, high] = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))];
  const x = (/** @type {number} */ i) => left + ((width - left - 10) * i) / Math.max(1, layers.length - 1);
  const y = (/** @type {number} */ log) => 10 + ((height - 40) * (high - log)) / Math.max(1, high - low);
  const lines = Array.from({ length: high - low + 1 }, (_, i) => low + i).map((log) => [
    svg('line', { x1: left, x2: width, y1: y(log), y2: y(log), class: 'grid' }),
    svg('text', { x: left - 6, y: y(log) + 4, class: 'label', 'text-anchor': 'end' }, `1e${log}`),
  ]);
  const dots = logs.map((/** @type {number} */ log, /** @type {number} */ i) =>
    svg(
      'circle',
      { cx: x(i), cy: y(log), r: 3.5, class: 'dot' },
      svg('title', {}, `behind layer ${i}: ${show(layers[i].nmse, 3)}, cosine ${show(layers[i].cosine, 6)}`),
    ),
  );
  const path = svg('polyline', {
    points: logs.map((/** @type {number} */ log, /** @type {number} */ i) => `${x(i)},${y(log)}`).join(' '),
    class: 'curve',
  });
  return h(
    'section',
    {},
    h('h3', {}, 'How it grows along the layers'),
    h(
      'div',
      { class: 'scroll' },
      svg(
        'svg',
        {
          viewBox: `0 0 ${width} ${height}`,
          role: 'img',
          class: 'chart',
          'aria-label': `Error of the residual stream behind each layer: ${layers.map((/** @type {any} */ one, /** @type {number} */ i) => `layer ${i} ${show(one.nmse, 2)}`).join(', ')}`,
        },
        lines.flat(),
        path,
        dots,
        svg(
          'text',
          { x: width / 2, y: height - 4, class: 'label', 'text-anchor': 'middle' },
          `layers 0 to ${layers.length - 1}: squared error of the stream over its size`,
        ),
      ),
    ),
  );
}

/** At which tokens it grows. @param {Context} ctx */
function byToken(ctx) {
  /** @type {number[][]} */
  const errors = ctx.data.beside.stream;
  const logs = errors.map((row) => row.map((one) => Math.log10(Math.max(1e-12, one))));
  const least = Math.floor(Math.min(...logs.flat()));
  return h(
    'section',
    {},
    h('h3', {}, 'At which tokens'),
    h(
      'p',
      { class: 'quiet' },
      'Each token by itself: where one of them has grown huge, as the first one often does, it hides the others in the sum above.',
    ),
    picture({
      title: 'That error behind each layer (rows) at each token (columns)',
      rows: errors.length,
      columns: ctx.tokens,
      value: (layer, position) => logs[layer][position] - least,
      rowName: (layer) => `behind layer ${layer}`,
      columnName: (position) => `token ${ctx.place(position)}`,
      rowLabels: errors.map((_, layer) => `layer ${layer}`),
      columnLabels: ctx.values.all.map((position) => ctx.token(position)),
      signed: false,
      ends: [show(10 ** least, 2), `${show(10 ** Math.max(...logs.flat()), 2)}, by powers of ten`],
      said: (log) => show(10 ** (log + least), 3),
      picked: [ctx.state.layer, ctx.state.position],
      onpick: (layer, position) => ctx.go({ layer, position }),
    }),
  );
}

/** Of the layer that is looked at. @param {Context} ctx */
function components(ctx) {
  const start = `layers.${ctx.state.layer}.`;
  const own = ctx.data.beside.components.filter((/** @type {any} */ one) => one.name.startsWith(start));
  const row = (/** @type {any} */ one) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, one.name.slice(start.length)),
      h('td', {}, show(one.nmse, 3)),
      h('td', {}, show(one.cosine, 6)),
      h('td', {}, show(one.largest, 3)),
      h('td', {}, percent(one.saturation)),
      h('td', {}, show(one.outlier, 3)),
      h('td', {}, one.turned === undefined ? '' : show(one.turned, 3)),
    );
  return h(
    'section',
    {},
    h('h3', {}, `Layer ${ctx.state.layer}, component after component`),
    h(
      'p',
      { class: 'quiet' },
      'As it piles up: each model goes its own way. Saturation: values that INT8 would hold at the end of its range. Outlier: the largest value over the root mean square of its row, before and after the rotation of the cache.',
    ),
    h(
      'div',
      { class: 'scroll' },
      h(
        'table',
        {},
        tableHead([
          'component',
          'squared error / size',
          'cosine',
          'largest error',
          'saturation',
          'outlier',
          'rotated',
        ]),
        h('tbody', {}, own.map(row)),
      ),
    ),
  );
}

/** @param {Context} ctx */
function parting(ctx) {
  const { reference, other, parted } = ctx.data.beside;
  if (parted === undefined) return undefined;
  const { position, expected } = parted;
  const text =
    position === undefined
      ? 'Both expect the same next token at every position.'
      : [
          `They part behind ${ctx.named(position)}: ${reference} expects `,
          h('code', {}, expected[0]),
          `, ${other} `,
          h('code', {}, expected[1]),
          '.',
        ];
  return h(
    'section',
    {},
    h('h3', {}, 'Where they part'),
    h('p', {}, text),
    h('p', { class: 'quiet' }, `The same most probable token at ${percent(parted.same)} of the positions.`),
  );
}

export const beside = {
  title: 'INT8 beside FP32',
  formula: 'error = |y_{int8} − y_{fp32}|^2 / |y_{fp32}|^2',
  why: 'INT8 holds a weight in a byte. What that costs is told at every point, and who hunts an error finds the place where it begins.',
  /** @param {Context} ctx */
  view: (ctx) => h('div', {}, parting(ctx), ranking(ctx), growth(ctx), byToken(ctx), components(ctx)),
};
