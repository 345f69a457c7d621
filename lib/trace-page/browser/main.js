/** The page: where the reader stands, the text, the twenty parts and the way between them. */
import { beside } from './beside.js';
import { forgetPalette } from './colors.js';
import { Context } from './context.js';
import { fill, formula, h } from './dom.js';
import { setDigits } from './numbers.js';
import * as attention from './parts-attention.js';
import * as embedding from './parts-embedding.js';
import { overview } from './parts-heads.js';
import * as layers from './parts-layers.js';
import * as output from './parts-output.js';
import { scaleDrawing } from './scale.js';
import { Values } from './values.js';

/** @typedef {import('./context.js').State} State */
/** @typedef {string | ((ctx: Context) => string)} Text */
/** @typedef {{ title: Text, formula: Text, why: Text, view: (ctx: Context) => any }} Part */

const twenty = /** @type {Part[]} */ ([
  embedding.tokens,
  embedding.tokenEmbedding,
  embedding.positionEmbedding,
  embedding.sum,
  embedding.layerNorm,
  overview,
  attention.queryKeyValue,
  attention.scores,
  attention.mask,
  attention.softmax,
  attention.attended,
  attention.projection,
  layers.feedForward,
  layers.residuals,
  layers.block,
  layers.stacking,
  output.outputLayer,
  output.outputSoftmax,
  output.scaling,
  output.pipeline,
]);
/** Parts that show one layer, and one head of it. */
const [firstOfLayer, lastOfLayer, firstOfHead, lastOfHead] = [5, 15, 6, 11];

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const data = JSON.parse(find('data').textContent ?? '');
const values = new Values(
  find('values').textContent ?? '',
  data.kind,
  data.tensors,
  data.chosen,
  data.tokens.length,
);
const parts = data.beside ? [...twenty, /** @type {Part} */ (beside)] : twenty;
setDigits(data.digits);

/** @param {Text} text @param {Context} ctx */
const read = (text, ctx) => (typeof text === 'string' ? text : text(ctx));
const within = (/** @type {number} */ value, /** @type {number} */ end) =>
  Math.max(0, Math.min(end - 1, Math.floor(value) || 0));

/** What the address says. @returns {State} */
function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (/** @type {string} */ name, /** @type {number} */ otherwise) =>
    Number(given.get(name) ?? otherwise);
  const layer = within(number('layer', 0), data.spec.layers.length);
  return {
    part: data.series ? data.part : within(number('part', data.part ?? 1) - 1, parts.length) + 1,
    layer,
    head: within(number('head', 0), data.spec.layers[layer].attention?.heads ?? 1),
    position: within(number('token', data.chosen.at(-1)), data.tokens.length),
  };
}

let state = readState();

/** @param {Partial<State>} changes */
function go(changes) {
  const before = state;
  state = { ...state, ...changes };
  state.layer = within(state.layer, data.spec.layers.length);
  state.head = within(state.head, data.spec.layers[state.layer].attention?.heads ?? 1);
  const address = `#part=${state.part}&layer=${state.layer}&head=${state.head}&token=${state.position}`;
  if (data.series && state.part !== before.part) {
    location.href = data.series[state.part - 1] + address;
    return;
  }
  if (state.part !== before.part) history.pushState(null, '', address);
  else history.replaceState(null, '', address);
  render();
  void complete(state.position);
  if (state.part !== before.part) {
    const title = find('part').querySelector('h2');
    title?.focus({ preventScroll: true });
    title?.scrollIntoView({ block: 'nearest' });
  }
}

/**
 * Of the live page: asks its server for the tensors of a token that the page does not hold; undefined where that fails.
 * @type {((position: number, kind: string) => Promise<any>) | undefined}
 */
const rowsOfTrace = /** @type {any} */ (globalThis).rowsOfTrace;
/** @type {Set<number>} */
const asked = new Set(values.shown);

/** @param {number} position */
async function complete(position) {
  if (rowsOfTrace === undefined || asked.has(position)) return;
  asked.add(position);
  const rows = await rowsOfTrace(position, data.kind);
  if (rows === undefined) {
    asked.delete(position);
    return;
  }
  values.add(position, rows.tensors, rows.values);
  if (rows.prediction) data.predictions[position] = rows.prediction;
  Object.assign(data.neighbours, rows.neighbours);
  if (rows.headBias) data.headBias = { ...data.headBias, ...rows.headBias };
  render();
}

/** @param {State} at */
const contextAt = (at) => new Context(data, values, at, go);

/** Where a control was that had the focus, to give it back to its successor. */
function focused() {
  const { activeElement } = document;
  const id = activeElement?.getAttribute('data-keep');
  return () => {
    if (id)
      /** @type {HTMLElement | null} */ (document.querySelector(`[data-keep="${id}"]`))?.focus({
        preventScroll: true,
      });
  };
}

function render() {
  const restore = focused();
  const ctx = contextAt(state);
  fill(find('text'), tokenStrip(ctx));
  fill(find('parts'), partList(ctx));
  fill(find('part'), partView(ctx, state.part), turning(ctx));
  fill(find('scale'), h('h2', {}, 'To scale'), scaleDrawing(ctx));
  restore();
  const current = /** @type {HTMLElement | null} */ (find('parts').querySelector('[aria-current]'));
  // On a phone the parts lie in a row.
  if (current) find('parts').scrollLeft = current.offsetLeft - 24;
}

/** @param {Context} ctx */
function tokenStrip(ctx) {
  const chosen = new Set(values.shown);
  return data.tokens.map((/** @type {any} */ token, /** @type {number} */ i) =>
    h(
      'button',
      {
        type: 'button',
        'data-keep': `token${i}`,
        class: `token${chosen.has(i) ? ' chosen' : ''}${token.generated ? ' generated' : ''}`,
        'aria-pressed': String(i === state.position),
        title: `token ${i}${chosen.has(i) ? '' : ': attention and residual stream only'}`,
        onclick: () => go({ position: i }),
      },
      ctx.token(i),
    ),
  );
}

/** @param {Context} ctx */
function partList(ctx) {
  return h(
    'ol',
    {},
    parts.map((part, i) =>
      h(
        'li',
        {},
        h(
          'button',
          {
            type: 'button',
            'data-keep': `part${i + 1}`,
            'aria-current': i + 1 === state.part ? 'step' : undefined,
            onclick: () => go({ part: i + 1 }),
          },
          read(part.title, ctx),
        ),
      ),
    ),
  );
}

/** @param {Context} ctx @param {number} number from 1 */
function partView(ctx, number) {
  const part = parts[number - 1];
  const text = read(part.formula, ctx);
  return [
    h('p', { class: 'count' }, number <= twenty.length ? `Part ${number} of ${twenty.length}` : 'Beside'),
    h('h2', { tabindex: '-1' }, read(part.title, ctx)),
    controls(number),
    text !== '' && formula(text),
    h('p', { class: 'why' }, read(part.why, ctx)),
    part.view(ctx) ??
      h(
        'p',
        { class: 'quiet' },
        'The page holds no tensor of this: it was left out, or this model has none.',
      ),
  ];
}

/** Layer and head, where a part is about them. @param {number} part */
function controls(part) {
  const isOfLayer = (part >= firstOfLayer && part <= lastOfLayer) || part === twenty.length + 1;
  if (!isOfLayer && part !== 3) return undefined;
  const { attention: kind } = data.spec.layers[state.layer];
  return h(
    'div',
    { class: 'controls' },
    stepper('layer', data.spec.layers.length),
    part >= firstOfHead && part <= lastOfHead && kind && stepper('head', kind.heads),
  );
}

/** @param {'layer' | 'head'} name @param {number} count */
function stepper(name, count) {
  const to = (/** @type {number} */ value) => go({ [name]: within(value, count) });
  const options = Array.from({ length: count }, (_, i) =>
    h('option', { value: i, selected: i === state[name] }, i),
  );
  return h(
    'span',
    { class: 'stepper' },
    h(
      'button',
      {
        type: 'button',
        'data-keep': `${name}-`,
        'aria-label': `${name} before`,
        disabled: state[name] === 0,
        onclick: () => to(state[name] - 1),
      },
      '‹',
    ),
    h(
      'label',
      {},
      `${name} `,
      h(
        'select',
        { 'data-keep': name, onchange: (/** @type {any} */ event) => to(Number(event.target.value)) },
        options,
      ),
    ),
    h(
      'button',
      {
        type: 'button',
        'data-keep': `${name}+`,
        'aria-label': `${name} after`,
        disabled: state[name] === count - 1,
        onclick: () => to(state[name] + 1),
      },
      '›',
    ),
  );
}

/** On and back. @param {Context} ctx */
function turning(ctx) {
  const [back, on] = [parts[state.part - 2], parts[state.part]];
  return h(
    'nav',
    { class: 'turning', 'aria-label': 'On and back' },
    back
      ? h(
          'button',
          { type: 'button', 'data-keep': 'back', onclick: () => go({ part: state.part - 1 }) },
          `‹ ${read(back.title, ctx)}`,
        )
      : h('span'),
    on
      ? h(
          'button',
          { type: 'button', 'data-keep': 'on', onclick: () => go({ part: state.part + 1 }) },
          `${read(on.title, ctx)} ›`,
        )
      : h('span'),
  );
}

/** @type {Record<string, () => void>} */
const keys = {
  n: () => go({ part: Math.min(parts.length, state.part + 1) }),
  p: () => go({ part: Math.max(1, state.part - 1) }),
  ']': () => go({ layer: state.layer + 1 }),
  '[': () => go({ layer: state.layer - 1 }),
  '.': () => go({ head: state.head + 1 }),
  ',': () => go({ head: state.head - 1 }),
  l: () => go({ position: within(state.position + 1, data.tokens.length) }),
  h: () => go({ position: within(state.position - 1, data.tokens.length) }),
};

addEventListener('keydown', (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target instanceof HTMLSelectElement) return;
  keys[event.key]?.();
});
addEventListener('hashchange', () => {
  state = readState();
  render();
  void complete(state.position);
});
addEventListener('popstate', () => {
  state = readState();
  render();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  forgetPalette();
  render();
});

/**
 * On paper all parts come one after the other, of the layer, the head and the token that are looked at, on a light ground.
 * Printers are told before the page is laid out, and media that change by themselves when they have.
 * @param {boolean} isPaper
 */
function setPaper(isPaper) {
  const { dataset } = document.documentElement;
  if (isPaper === (dataset.paper !== undefined)) return;
  forgetPalette();
  if (!isPaper) {
    delete dataset.paper;
    render();
    return;
  }
  dataset.paper = 'yes';
  const ctx = contextAt(state);
  const printed = data.series ? [state.part] : parts.map((_, i) => i + 1);
  fill(
    find('part'),
    printed.map((part) => h('section', { class: 'sheet' }, partView(ctx, part))),
  );
}
addEventListener('beforeprint', () => setPaper(true));
addEventListener('afterprint', () => setPaper(false));
matchMedia('print').addEventListener('change', ({ matches }) => setPaper(matches));
render();
void complete(state.position);
document.documentElement.dataset.ready = 'yes';
