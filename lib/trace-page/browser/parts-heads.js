/** Part 6: where each head looks; and what a layer without attention shows in its place. */
import { cssColor } from './colors.js';
import { rows, sees } from './context.js';
import { h } from './dom.js';
import { legend, thumbnail } from './heat.js';
import { percent } from './numbers.js';

/** @typedef {import('./context.js').Context} Context */

/** What a layer without attention says in these parts. @param {Context} ctx */
function stateOf(ctx) {
  const { state } = ctx.layer;
  if (state === undefined) return undefined;
  const what =
    state === 'short_conv'
      ? 'a short convolution over the last tokens'
      : 'a gated delta net, a memory of one size';
  const tensors = ['conv_in', 'delta_in', 'delta_gates'].map((name) =>
    rows(ctx, ctx.own(name), { title: name }),
  );
  return h(
    'div',
    {},
    h('p', {}, `Layer ${ctx.state.layer} has no attention: in its place stands ${what}.`),
    tensors,
  );
}

/** A part that needs attention. @param {(ctx: Context) => any} view @returns {(ctx: Context) => any} */
export const attending = (view) => (ctx) => stateOf(ctx) ?? view(ctx);

export const overview = {
  title: 'Self-attention',
  formula: 'a_i = Σ_j w_{ij} v_j',
  why: 'A token alone cannot know what it means here. In each head it asks a question, all tokens that it sees answer as far as they fit, and it takes a mix of what they carry.',
  view: attending((ctx) => {
    const weights = ctx.own('weights');
    if (weights === undefined) return undefined;
    const shown = weights.positions;
    const value = (/** @type {number} */ head) => (/** @type {number} */ row, /** @type {number} */ c) =>
      sees(ctx)(shown[row], c) ? (weights.row(shown[row], head)?.[c] ?? Number.NaN) : Number.NaN;
    const heads = Array.from({ length: weights.heads }, (_, head) =>
      thumbnail(
        { rows: shown.length, columns: weights.columns, value: value(head), signed: false, end: 1 },
        `head ${head}`,
        head === ctx.state.head,
        () => ctx.go({ head }),
      ),
    );
    const position = ctx.positionIn(weights);
    return h(
      'div',
      {},
      looked(ctx, weights, position),
      h('h3', {}, 'All heads of the layer'),
      h(
        'p',
        { class: 'quiet' },
        'A row for each token that looks, a column for each that is seen. Pick a head.',
      ),
      h('div', { class: 'thumbnails' }, heads),
      legend(1, 1, false),
      h('h3', {}, `Where each head looks from ${ctx.named(position)}`),
      h(
        'div',
        { class: 'scroll' },
        h(
          'table',
          { class: 'looks' },
          h(
            'tbody',
            {},
            heads.map((_, head) => looks(ctx, weights, position, head)),
          ),
        ),
      ),
    );
  }),
};

/**
 * The text, each token as deep as the head that is picked looks at it from one of them.
 * @param {Context} ctx @param {import('./values.js').Tensor} weights @param {number} position
 */
function looked(ctx, weights, position) {
  const row = weights.row(position, ctx.state.head) ?? new Float32Array(ctx.tokens);
  const seen = sees(ctx);
  const token = (/** @type {number} */ key) =>
    h(
      'button',
      {
        type: 'button',
        'data-keep': `looked${key}`,
        class: `looked${key === position ? ' here' : ''}${seen(position, key) ? '' : ' unseen'}`,
        style:
          seen(position, key) &&
          `background:${cssColor(row[key], false)};${row[key] > 0.45 ? 'color:var(--ground)' : ''}`,
        title: seen(position, key)
          ? `${ctx.place(key)}: ${percent(row[key])}`
          : `${ctx.place(key)}: not seen`,
        onclick: () => ctx.go({ position: key }),
      },
      ctx.token(key),
    );
  return h(
    'section',
    { class: 'reading' },
    h('h3', {}, `Head ${ctx.state.head} reads the text from ${ctx.named(position)}`),
    h(
      'p',
      { class: 'quiet' },
      'The stronger a token is coloured, the more of what it carries is taken. Pick another token, and see where it looks from there.',
    ),
    h('div', { class: 'lookeds' }, ctx.values.all.map(token)),
  );
}

/** @param {Context} ctx @param {import('./values.js').Tensor} weights @param {number} position @param {number} head */
function looks(ctx, weights, position, head) {
  const row = Array.from(weights.row(position, head) ?? []);
  const order = row
    .map((weight, key) => ({ weight, key }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, 4);
  return h(
    'tr',
    { class: head === ctx.state.head && 'current' },
    h('th', { scope: 'row' }, `head ${head}`),
    order
      .filter(({ weight }) => weight > 0.005)
      .map(({ weight, key }) => h('td', {}, h('code', {}, ctx.place(key)), ` ${percent(weight)}`)),
  );
}
