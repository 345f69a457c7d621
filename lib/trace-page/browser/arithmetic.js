/** The arithmetic of one cell, spelled out with its own numbers. */
import { fill, h } from './dom.js';
import { resolution, show } from './numbers.js';

/** Terms that are written out; the others are one sum. */
const written = 8;

/** Why the page's own sum of a linear differs from the trace's. */
export const rounded = 'INT8 rounds the row before it is multiplied.';

/**
 * What a cell is made of, and what the trace has for it.
 * - `name`: 'q[3, 12]'; `steps`: lines of text, each the one before with numbers put in
 * - `terms`: of a sum, each [what it is, its value]; `factor`: multiplies the sum; `added`: joins it (a bias)
 * - `value`: of the trace; `computed`: by the page
 * @typedef {{ name: string, steps: string[], terms?: [string, number][], factor?: [string, number], added?: [string, number],
 *   value: number, computed: number, note?: string }} Cell
 */

/** @param {Cell | undefined} cell */
export function arithmetic(cell) {
  const box = h('section', {
    class: 'arithmetic',
    'aria-live': 'polite',
    'aria-label': 'The arithmetic of one cell',
  });
  show_(box, cell);
  return { element: box, update: (/** @type {Cell | undefined} */ next) => show_(box, next) };
}

/** @param {HTMLElement} box @param {Cell | undefined} cell */
function show_(box, cell) {
  if (cell === undefined) {
    fill(
      box,
      h('h4', {}, 'One cell'),
      h('p', { class: 'quiet' }, 'Pick a cell of the picture: its arithmetic is written out here.'),
    );
    return;
  }
  const { name, steps, terms, value, computed, note } = cell;
  const difference = Math.abs(computed - value);
  // Terms are known to the digits that the page holds.
  const near = difference <= 2 * resolution() * Math.max(1e-2, Math.abs(value), ...largestOf(terms));
  fill(
    box,
    h('h4', {}, 'One cell: ', h('code', {}, name)),
    steps.map((step) => h('p', { class: 'step' }, step)),
    terms && sum(cell),
    h(
      'p',
      { class: 'result' },
      `= ${show(computed)}`,
      h(
        'span',
        { class: 'quiet' },
        near
          ? ` The trace has ${show(value)}.`
          : ` The trace has ${show(value)}: ${show(difference, 2)} apart. ${note ?? ''}`,
      ),
    ),
  );
}

/** @param {[string, number][] | undefined} terms */
const largestOf = (terms) =>
  (terms ?? [])
    .map(([, value]) => Math.abs(value))
    .sort((a, b) => b - a)
    .slice(0, 1);

/** The largest terms, what the others sum to, and what else joins them. @param {Cell} cell */
function sum({ terms = [], factor, added }) {
  const order = terms
    .map(([what, value], i) => ({ what, value, i }))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const largest = order.slice(0, written);
  const others = order.slice(written);
  const total = terms.reduce((all, [, value]) => all + value, 0);
  const most = Math.abs(largest[0]?.value ?? 0) || 1;
  const row = (
    /** @type {string} */ what,
    /** @type {number} */ value,
    /** @type {string | undefined} */ kind,
  ) =>
    h(
      'tr',
      { class: kind },
      h('td', {}, what),
      h('td', {}, show(value)),
      h(
        'td',
        { class: 'bar' },
        kind === undefined &&
          h('i', { class: value < 0 ? 'minus' : 'plus', style: `width:${(100 * Math.abs(value)) / most}%` }),
      ),
    );
  return h(
    'table',
    { class: 'terms' },
    h('caption', {}, `${terms.length} terms, the largest first`),
    h(
      'tbody',
      {},
      largest.map(({ what, value }) => row(what, value, undefined)),
      others.length > 0 &&
        row(
          `the other ${others.length}`,
          others.reduce((all, { value }) => all + value, 0),
          'others',
        ),
      (factor || added) && row('sum', total, 'total'),
      factor && row(`times ${factor[0]}`, factor[1], 'total'),
      added && row(`plus ${added[0]}`, added[1], 'total'),
    ),
  );
}

/**
 * A row of a linear: sum of x_j w_j.
 * @param {{ name: string, left: string, right: string, x: Float32Array, w: Float32Array, value: number, scale?: number, bias?: number, note?: string }} given
 * @returns {Cell}
 */
export function dot({ name, left, right, x, w, value, scale, bias, note }) {
  let computed = 0;
  /** @type {[string, number][]} */
  const terms = [];
  for (let j = 0; j < x.length; j++) {
    const term = x[j] * w[j];
    computed += term;
    terms.push([`${left}[${j}] · ${right}[${j}] = ${show(x[j])} · ${show(w[j])}`, term]);
  }
  if (scale !== undefined) computed *= scale;
  if (bias) computed += bias;
  return {
    name,
    steps: [`Σ over j of ${left}[j] · ${right}[j], j from 0 to ${x.length - 1}`],
    terms,
    ...(scale === undefined ? {} : { factor: /** @type {[string, number]} */ (['the scale', scale]) }),
    ...(bias ? { added: /** @type {[string, number]} */ (['the bias', bias]) } : {}),
    value,
    computed,
    note,
  };
}
