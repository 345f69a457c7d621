/** Part 13 of a layer with experts: what the router says, which experts each token goes through, and what they give. */
import { arithmetic } from './arithmetic.js';
import { derived, rows } from './context.js';
import { h } from './dom.js';
import { linearCell } from './parts-attention.js';

/** @typedef {import('./context.js').Context} Context */

/** @param {Context} ctx */
export function expertsView(ctx) {
  const [router, used, experts] = ['router', 'experts_used', 'experts'].map((name) => ctx.own(name));
  if (router === undefined || used === undefined) return undefined;
  const position = ctx.positionIn(used);
  const count = /** @type {{ count: number }} */ (ctx.layer.feedForward.experts).count;
  const usedBy = (/** @type {number} */ p) => Array.from(used.row(p) ?? []);
  const rank = (/** @type {number} */ p, /** @type {number} */ expert) => usedBy(p).indexOf(expert) + 1;
  const read = (/** @type {number} */ p, /** @type {number} */ row) => router.row(p)?.[row];
  const cell = (/** @type {number} */ p) =>
    linearCell(ctx, { name: 'router', left: 'n', input: ctx.own('ffn_norm'), position: p, read });
  const box = arithmetic(cell(position));
  return h(
    'div',
    {},
    h(
      'p',
      {},
      `${ctx.named(position)} goes through `,
      usedBy(position).length === 1 ? 'expert ' : 'experts ',
      h('strong', {}, usedBy(position).join(', ')),
      ` of ${count}, the best first; the others compute nothing for it.`,
    ),
    derived(
      ctx,
      used.positions,
      count,
      (p, expert) => (rank(p, expert) === 0 ? Number.NaN : used.columns + 1 - rank(p, expert)),
      {
        title: 'Which experts each token goes through (columns)',
        unit: 'expert',
        columnLabels: Array.from({ length: count }, (_, expert) => `${expert}`),
        signed: false,
        none: 'not used',
        key: 'The stronger, the more it is wanted. Hatched: not used.',
      },
    ),
    busy(used, usedBy, count),
    rows(ctx, router, {
      title: 'What the router gives each expert',
      unit: 'expert',
      column: ctx.data.cells[`layers.${ctx.state.layer}.router`]?.row,
      onpick: (p) => box.update(cell(p)),
    }),
    box.element,
    rows(ctx, experts, { title: 'What they give together' }),
  );
}

/**
 * How many tokens each expert has, of those that the page holds.
 * @param {import('./values.js').Tensor} used @param {(position: number) => number[]} usedBy @param {number} count
 */
function busy(used, usedBy, count) {
  const tokens = Array.from({ length: count }, () => 0);
  for (const position of used.positions) for (const expert of usedBy(position)) tokens[expert]++;
  const order = tokens
    .map((n, expert) => ({ n, expert }))
    .sort((a, b) => b.n - a.n || a.expert - b.expert)
    .slice(0, 16);
  const most = order[0].n;
  return h(
    'section',
    {},
    h('h3', {}, 'How busy the experts are'),
    h('p', { class: 'quiet' }, `Of the ${used.positions.length} tokens whose tensors the page holds.`),
    h(
      'table',
      { class: 'bars' },
      h(
        'tbody',
        {},
        order.map(({ n, expert }) =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, `expert ${expert}`),
            h('td', { class: 'bar' }, h('i', { class: 'plus', style: `width:${(100 * n) / most}%` })),
            h('td', {}, n),
          ),
        ),
      ),
    ),
  );
}
