/** A tensor as a picture that can be read: values on hover and by arrow keys, a scale, and the values as a table. */
import { cssColor, paint } from './colors.js';
import { fill, h } from './dom.js';
import { show } from './numbers.js';

/**
 * - `rows`, `columns`: how many; `value(row, column)`: NaN where there is none.
 * - `rowName`, `columnName`: what a reader is told of a cell; `rowLabels`, `columnLabels`: beside the picture.
 * - `signed`: two colours around 0, else one from 0 on; `end`: of the scale, default: found from the values.
 * - `key`: what the colours say, in the place of a scale; `ends`: what is said at both ends of the scale; `said`: a value as it is told, default: by the page's digits.
 * - `picked`: the cell that is looked at; `onpick`: another one is.
 * @typedef {{
 *   title: string, rows: number, columns: number, value: (row: number, column: number) => number,
 *   rowName: (row: number) => string, columnName: (column: number) => string,
 *   rowLabels?: string[], columnLabels?: string[], signed?: boolean, end?: number, none?: string, key?: string, ends?: [string, string],
 *   said?: (value: number) => string,
 *   picked?: [number, number], onpick?: (row: number, column: number) => void,
 * }} Picture
 */

const sampled = 20_000;
const wholeTable = 4_000;
const tableColumns = 24;

/**
 * All values, read once. `end` of the colours: the largest value, or where few are far larger than all others, what 99.5 % stay
 * below.
 * @param {Picture} p
 */
function read({ rows, columns, value, end }) {
  const values = new Float64Array(rows * columns);
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const sizes = [];
  const step = Math.max(1, Math.floor(values.length / sampled));
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) {
      const one = value(row, column);
      values[i] = one;
      if (one < min) min = one;
      if (one > max) max = one;
      if (i % step === 0 && Number.isFinite(one)) sizes.push(Math.abs(one));
    }
  }
  const largest = values.length === 0 ? 0 : Math.max(0, ...[min, max].map(Math.abs).filter(Number.isFinite));
  sizes.sort((a, b) => a - b);
  const most = sizes[Math.floor(0.995 * (sizes.length - 1))] ?? 0;
  return { values, min, max, largest, end: end ?? (largest > 3 * most && most > 0 ? most : largest) };
}

/** @param {Picture} p @param {Float64Array} values @param {number} end */
function draw(p, values, end) {
  const canvas = h('canvas', { width: p.columns, height: p.rows });
  const context = canvas.getContext('2d');
  const image = context.createImageData(p.columns, p.rows);
  const signed = p.signed !== false;
  for (let i = 0; i < values.length; i++) paint(image.data, 4 * i, values[i], end, signed);
  context.putImageData(image, 0, 0);
  return canvas;
}

/**
 * The scale of the colours.
 * @param {number} end @param {number} largest @param {boolean} signed @param {[string, string]} [ends] what is said at both
 */
export function legend(end, largest, signed, ends) {
  const stops = Array.from({ length: 11 }, (_, i) => cssColor(signed ? i / 5 - 1 : i / 10, signed));
  const beyond = largest > end * 1.001;
  const mark = beyond ? '≥ ' : '';
  return h(
    'div',
    { class: 'legend' },
    h('span', {}, ends?.[0] ?? (signed ? `${beyond ? '≤ ' : ''}${show(-end, 3)}` : '0')),
    h('i', { style: `background: linear-gradient(90deg, ${stops.join(', ')})` }),
    h('span', {}, ends?.[1] ?? `${mark}${show(end, 3)}`),
    beyond && h('span', { class: 'quiet' }, `largest ${show(largest, 3)}`),
  );
}

/** @param {Picture} p @param {[number, number]} at */
function said(p, [row, column]) {
  const value = p.value(row, column);
  const text = Number.isNaN(value) ? (p.none ?? 'nothing') : (p.said ?? show)(value);
  return `${p.rowName(row)}, ${p.columnName(column)}: ${text}`;
}

/** @param {Picture} p @param {number} around a column */
function table(p, around) {
  const all = p.rows * p.columns <= wholeTable;
  const first = all ? 0 : Math.max(0, Math.min(p.columns - tableColumns, around - tableColumns / 2));
  const end = all ? p.columns : Math.min(p.columns, first + tableColumns);
  const columns = Array.from({ length: end - first }, (_, i) => first + i);
  const head = h(
    'tr',
    {},
    h('td'),
    columns.map((c) => h('th', { scope: 'col' }, p.columnLabels?.[c] ?? c)),
  );
  const body = Array.from({ length: p.rows }, (_, row) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, p.rowLabels?.[row] ?? p.rowName(row)),
      columns.map((column) => {
        const value = p.value(row, column);
        return h('td', {}, Number.isNaN(value) ? (p.none ?? '') : (p.said ?? show)(value));
      }),
    ),
  );
  return h(
    'div',
    { class: 'scroll' },
    !all &&
      h('p', { class: 'quiet' }, `Columns ${first} to ${end - 1} of ${p.columns}, around the cell above.`),
    h('table', { class: 'values' }, h('thead', {}, head), h('tbody', {}, body)),
  );
}

/** Of all cells, where they are many; no less than the least, where a narrow window scrolls. In pixels. */
const [widest, least] = [640, 480];

/** Few cells have a size of their own; many fill what room there is. @param {number} columns @param {number} cell */
function widthOf(columns, cell) {
  const own = columns * cell;
  if (own < least) return `width:${own}px;min-width:${own}px`;
  return `width:100%;min-width:${columns * Math.max(1, Math.floor(least / columns))}px`;
}

const rowHeight = (/** @type {number} */ rows) => (rows <= 16 ? 18 : rows <= 40 ? 14 : rows <= 100 ? 11 : 5);

/** @param {Picture} p */
export function picture(p) {
  const signed = p.signed !== false;
  const { values, min, max, end, largest } = read(p);
  const canvas = draw(p, values, end);
  const height = rowHeight(p.rows);
  const cell = Math.max(1, Math.min(p.columnLabels ? 22 : 16, Math.floor(widest / p.columns)));
  /** @type {[number, number]} */
  let at = [Math.min(p.picked?.[0] ?? 0, p.rows - 1), Math.min(p.picked?.[1] ?? 0, p.columns - 1)];
  const mark = h('div', { class: 'mark' });
  const readout = h('p', { class: 'readout', 'aria-live': 'polite' });
  const details = h('details', { class: 'table' }, h('summary', {}, 'Values as a table'));
  const look = (/** @type {[number, number]} */ cellAt) => {
    mark.style.left = `${(100 * cellAt[1]) / p.columns}%`;
    mark.style.top = `${(100 * cellAt[0]) / p.rows}%`;
    fill(readout, said(p, cellAt));
  };
  mark.style.width = `max(3px, ${100 / p.columns}%)`;
  mark.style.height = `${100 / p.rows}%`;
  canvas.style.width = '100%';
  canvas.style.height = `${p.rows * height}px`;
  const pick = (/** @type {[number, number]} */ cellAt) => {
    at = cellAt;
    look(at);
    if (details.open) fill(details, details.firstElementChild, table(p, at[1]));
    p.onpick?.(at[0], at[1]);
  };
  listen(canvas, p, look, pick, () => at);
  details.addEventListener('toggle', () => {
    if (details.open) fill(details, details.firstElementChild, table(p, at[1]));
  });
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('tabindex', '0');
  canvas.setAttribute(
    'aria-label',
    `${p.title}: ${p.rows} rows, ${p.columns} columns, from ${show(min)} to ${show(max)}. Arrow keys read cells, Enter picks one.`,
  );
  look(at);
  return h(
    'figure',
    { class: 'picture' },
    h('figcaption', {}, p.title),
    frame(p, height, widthOf(p.columns, cell), canvas, mark),
    p.key === undefined ? legend(end, largest, signed, p.ends) : h('div', { class: 'legend' }, p.key),
    readout,
    details,
  );
}

/**
 * The cells, and names beside and above them.
 * @param {Picture} p @param {number} height of a row @param {string} width of all cells
 * @param {HTMLElement} canvas @param {HTMLElement} mark
 */
function frame(p, height, width, canvas, mark) {
  const line = `height:${height}px;line-height:${height}px`;
  const size = `font-size:${Math.min(12, height - 1)}px`;
  const named = height >= 11 && p.rowLabels;
  return h(
    'div',
    { class: 'frame' },
    named &&
      h(
        'div',
        { class: 'labels', style: size },
        columnSpace(p),
        named.map((label) => h('span', { style: line }, label)),
      ),
    h(
      'div',
      { class: 'scroll' },
      h('div', { class: 'canvas', style: width }, columnNames(p), h('div', { class: 'cells' }, canvas, mark)),
    ),
  );
}

const mostColumnNames = 72;
const hasColumnNames = (/** @type {Picture} */ p) =>
  p.columnLabels !== undefined && p.columns <= mostColumnNames;

const longestName = (/** @type {Picture} */ p) =>
  Math.max(...(p.columnLabels ?? []).map((label) => label.length));
/** Short names stand upright. */
const isFlat = (/** @type {Picture} */ p) => longestName(p) <= 2 && p.columns <= 40;
const nameHeight = (/** @type {Picture} */ p) =>
  isFlat(p) ? 1.2 : Math.min(4.2, 0.6 + 0.44 * longestName(p));

/** @param {Picture} p */
function columnNames(p) {
  return (
    hasColumnNames(p) &&
    h(
      'div',
      {
        class: `columns${p.columns <= 40 ? '' : ' narrow'}${isFlat(p) ? ' flat' : ''}`,
        style: `height:${nameHeight(p)}rem`,
        'aria-hidden': 'true',
      },
      p.columnLabels?.map((label) => h('span', {}, label)),
    )
  );
}

/** @param {Picture} p */
function columnSpace(p) {
  return hasColumnNames(p) && h('span', { class: 'corner', style: `height:${nameHeight(p)}rem` });
}

/**
 * @param {HTMLCanvasElement} canvas @param {Picture} p @param {(at: [number, number]) => void} look
 * @param {(at: [number, number]) => void} pick @param {() => [number, number]} current
 */
function listen(canvas, p, look, pick, current) {
  const cellOf = (/** @type {MouseEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    const part = (/** @type {number} */ share, /** @type {number} */ n) =>
      Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    return /** @type {[number, number]} */ ([
      part((event.clientY - box.top) / box.height, p.rows),
      part((event.clientX - box.left) / box.width, p.columns),
    ]);
  };
  canvas.addEventListener('pointermove', (event) => look(cellOf(event)));
  canvas.addEventListener('pointerleave', () => look(current()));
  canvas.addEventListener('click', (event) => pick(cellOf(event)));
  /** @type {Record<string, [number, number]>} */
  const moves = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    Enter: [0, 0],
    ' ': [0, 0],
  };
  canvas.addEventListener('keydown', (event) => {
    const move = moves[event.key];
    if (move === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [row, column] = current();
    pick([
      Math.max(0, Math.min(p.rows - 1, row + move[0])),
      Math.max(0, Math.min(p.columns - 1, column + move[1])),
    ]);
  });
}

/**
 * The same picture small, many of them side by side, each a button.
 * @param {{ rows: number, columns: number, value: (row: number, column: number) => number, end?: number, signed?: boolean }} p
 * @param {string} label @param {boolean} pressed @param {() => void} onclick
 */
export function thumbnail(p, label, pressed, onclick) {
  const whole = /** @type {Picture} */ ({ title: label, rowName: String, columnName: String, ...p });
  const { values, end } = read(whole);
  const canvas = draw(whole, values, end);
  return h(
    'button',
    { type: 'button', class: 'thumbnail', 'aria-pressed': String(pressed), onclick },
    canvas,
    label,
  );
}
