/** Parts 7 to 12: self-attention, from the rows that it reads to what it adds to the residual stream. */
import { arithmetic, dot, rounded } from './arithmetic.js';
import { added, derived, grid, rows, sees } from './context.js';
import { h } from './dom.js';
import { show } from './numbers.js';
import { attending } from './parts-heads.js';

/** @typedef {import('./context.js').Context} Context */

const oneRow =
  'Of each map one row of weights is in the page, that of its largest output: a pick writes it out at its token.';

export const queryKeyValue = {
  title: 'Query, key and value',
  formula: 'q_i = W_q n_i + b_q, k_i = W_k n_i + b_k, v_i = W_v n_i + b_v',
  why: 'Three linear maps of the same row: what the token looks for, what it can be found by, and what it hands over when it is found.',
  view: attending((ctx) => {
    const input = ctx.own('attn_norm');
    const parts = /** @type {const} */ (['q', 'k', 'v']);
    const { headDim } = /** @type {import('./context.js').Attention} */ (ctx.layer.attention);
    const rowOf = (/** @type {string} */ name) =>
      ctx.data.cells[`layers.${ctx.state.layer}.${name}`]?.row ?? 0;
    const cell = (/** @type {string} */ name, /** @type {number} */ at) => {
      const output = ctx.own(name);
      const read = (/** @type {number} */ position, /** @type {number} */ row) =>
        output?.row(position, Math.floor(row / headDim))?.[row % headDim];
      const named = ` of head ${Math.floor(rowOf(name) / headDim)}`;
      return linearCell(ctx, { name, left: 'n', input, position: at, read, named });
    };
    const box = arithmetic(cell('q', ctx.state.position));
    const pictures = parts.map((name) => {
      const head = name === 'q' ? ctx.state.head : ctx.keyHead();
      const title = `${{ q: 'Queries', k: 'Keys', v: 'Values' }[name]} of head ${head}`;
      const column = Math.floor(rowOf(name) / headDim) === head ? rowOf(name) % headDim : 0;
      const onpick = (/** @type {number} */ position) => box.update(cell(name, position));
      return rows(ctx, ctx.own(name), { title, head, column, onpick });
    });
    const { heads, kvHeads } = /** @type {import('./context.js').Attention} */ (ctx.layer.attention);
    return h(
      'div',
      {},
      kvHeads < heads &&
        h('p', { class: 'quiet' }, `${heads} heads of queries share ${kvHeads} of keys and values.`),
      h('div', { class: 'pictures' }, pictures),
      h('p', { class: 'quiet' }, oneRow),
      box.element,
    );
  }),
};

/**
 * The output of a linear whose row of weights is in the page, at a position that all tensors are held of.
 * @param {Context} ctx
 * @param {{ name: string, left: string, input: import('./values.js').Tensor | undefined, position?: number, read: (position: number, row: number) => number | undefined, added?: boolean, named?: string }} linear
 *   `left`: what it reads is called; `read`: its output as the trace has it; `added`: as it joins the stream
 */
export function linearCell(ctx, { name, left, input, position: wanted, read, added, named = '' }) {
  const linear = `layers.${ctx.state.layer}.${name}`;
  const weights = ctx.tensor(`cell.${linear}`)?.values;
  const { row, bias } = ctx.data.cells[linear] ?? {};
  const position = wanted !== undefined && input?.row(wanted) ? wanted : ctx.positionIn(input);
  const x = input && wholeRow(input, position);
  if (weights === undefined || x === undefined || x.length !== weights.length) return undefined;
  const value = read(position, row);
  if (value === undefined) return undefined;
  return dot({
    name: `${name}[${position}, ${row}]${named}`,
    left,
    right: `W[${row}]`,
    x,
    w: weights,
    value,
    bias,
    scale: ctx.spec.residualScale !== 1 && added ? ctx.spec.residualScale : undefined,
    note: ctx.data.model.dtype === 'int8' ? rounded : '',
  });
}

/** All heads of a position in a row. @param {import('./values.js').Tensor} tensor @param {number} position */
function wholeRow(tensor, position) {
  if (tensor.heads === 1) return tensor.row(position);
  const whole = new Float32Array(tensor.heads * tensor.columns);
  for (let head = 0; head < tensor.heads; head++) {
    const part = tensor.row(position, head);
    if (part === undefined) return undefined;
    whole.set(part, head * tensor.columns);
  }
  return whole;
}

export const scores = {
  title: 'Scores: queries meet keys',
  formula: (/** @type {Context} */ ctx) => `s_{ij} = ${show(ctx.layer.attention?.scale ?? 1)} · q′_i · k′_j`,
  why: 'A score is large where a question and a description point the same way. The scale keeps it from growing with the size of a head.',
  view: attending((ctx) => {
    const attention = /** @type {import('./context.js').Attention} */ (ctx.layer.attention);
    const [q, k, s] = ['q_rotated', 'k_rotated', 'scores'].map((name) => ctx.own(name));
    const cell = (/** @type {number} */ position, /** @type {number} */ key) => {
      const [x, w, value] = [
        q?.row(position, ctx.state.head),
        k?.row(key, ctx.keyHead()),
        s?.row(position, ctx.state.head)?.[key],
      ];
      if (!x || !w || value === undefined || !sees(ctx)(position, key)) return undefined;
      const note =
        attention.bias || attention.softCap
          ? 'What distance adds, or a cap, is not in this sum.'
          : ctx.data.model.kvDtype === 'fp32'
            ? ''
            : 'The cache holds keys rounded.';
      return dot({
        name: `s[${position}, ${key}]`,
        left: `q′[${position}]`,
        right: `k′[${key}]`,
        x,
        w,
        value,
        scale: attention.scale,
        note,
      });
    };
    const at = ctx.positionIn(s);
    const box = arithmetic(cell(at, at));
    const turned = attention.rope ? ', turned by their positions' : '';
    return h(
      'div',
      {},
      h(
        'div',
        { class: 'pictures' },
        rows(ctx, q, { title: `q′: queries of head ${ctx.state.head}${turned}`, head: ctx.state.head }),
        rows(ctx, k, { title: `k′: keys of head ${ctx.keyHead()}${turned}`, head: ctx.keyHead() }),
      ),
      grid(ctx, s, {
        title: `Scores of head ${ctx.state.head}`,
        seen: sees(ctx),
        none: 'not seen',
        onpick: (p, key) => box.update(cell(p, key)),
      }),
      box.element,
    );
  }),
};

export const mask = {
  title: (/** @type {Context} */ ctx) =>
    ctx.layer.attention?.causal === false ? 'Mask: all tokens are seen' : 'Causal mask',
  formula: (/** @type {Context} */ ctx) => {
    const { causal, window } = ctx.layer.attention ?? {};
    if (!causal) return window ? `s_{ij} = −∞ where |i − j| ≥ ${window}` : 'every token sees every other one';
    return window ? `s_{ij} = −∞ where j > i or i − j ≥ ${window}` : 's_{ij} = −∞ where j > i';
  },
  why: 'A model that predicts must not look at what comes. A score of −∞ becomes a weight of 0: a token sees itself and what stands before it.',
  view: attending((ctx) => {
    const s = ctx.own('scores');
    const seen = sees(ctx);
    const cell = (/** @type {number} */ position, /** @type {number} */ key) => {
      const is = seen(position, key);
      const value = is ? (s?.row(position, ctx.state.head)?.[key] ?? Number.NaN) : Number.NEGATIVE_INFINITY;
      return {
        name: `s[${position}, ${key}]`,
        steps: [
          is ? `${key} is seen from ${position}: the score stays` : `${key} is not seen from ${position}: −∞`,
        ],
        value,
        computed: value,
      };
    };
    const at = ctx.positionIn(s);
    const box = arithmetic(cell(at, at));
    const picture = derived(ctx, ctx.values.all, ctx.tokens, (row, c) => (seen(row, c) ? 1 : Number.NaN), {
      title: 'Which tokens each token sees (columns)',
      unit: 'token',
      columnLabels: ctx.values.all.map((position) => ctx.token(position)),
      signed: false,
      end: 1.6,
      none: 'not seen',
      key: 'Coloured: seen. Hatched: not seen.',
      onpick: (p, key) => box.update(cell(p, key)),
    });
    return h(
      'div',
      {},
      picture,
      grid(ctx, s, {
        title: `Scores of head ${ctx.state.head} behind the mask`,
        seen,
        none: '−∞',
        onpick: (p, key) => box.update(cell(p, key)),
      }),
      box.element,
    );
  }),
};

export const softmax = {
  title: 'Softmax',
  formula: 'w_{ij} = exp(s_{ij} − m_i) / Σ_l exp(s_{il} − m_i), m_i the largest score of the row',
  why: 'Scores become shares: none is negative, and those of a row sum to 1. The exponential lets the best answers take most.',
  view: attending((ctx) => {
    const [s, w] = ['scores', 'weights'].map((name) => ctx.own(name));
    const seen = sees(ctx);
    const cell = (/** @type {number} */ position, /** @type {number} */ key) => {
      const row = s?.row(position, ctx.state.head);
      const value = w?.row(position, ctx.state.head)?.[key];
      if (!row || value === undefined) return undefined;
      const all = Array.from(row).filter((_, c) => seen(position, c));
      const largest = Math.max(...all);
      const total = all.reduce((sum, one) => sum + Math.exp(one - largest), 0);
      const name = `w[${position}, ${key}]`;
      if (!seen(position, key)) return { name, steps: ['exp(−∞) = 0'], value, computed: 0 };
      const steps = [
        `m = ${show(largest)}, Σ = ${show(total)} over ${all.length} tokens`,
        `exp(${show(row[key])} − ${show(largest)}) / ${show(total)} = ${show(Math.exp(row[key] - largest))} / ${show(total)}`,
      ];
      return {
        name,
        steps,
        value,
        computed: Math.exp(row[key] - largest) / total,
        note: ctx.layer.attention?.sinks ? 'A learned sink takes its share of the sum too.' : '',
      };
    };
    const at = ctx.positionIn(s);
    const box = arithmetic(cell(at, at));
    const picture = grid(ctx, w, {
      title: `Attention weights of head ${ctx.state.head}: a row for each token that looks`,
      signed: false,
      end: 1,
      seen,
      none: '0',
      onpick: (p, key) =>
        box.update(
          cell(ctx.values.get(`layers.${ctx.state.layer}.scores`)?.positions.includes(p) ? p : at, key),
        ),
    });
    return h('div', {}, picture, box.element);
  }),
};

export const attended = {
  title: 'Weighted sum of values',
  formula: 'a_i = Σ_j w_{ij} v_j',
  why: 'What the head hands on: the values of the tokens that it looked at, each by its share.',
  view: attending((ctx) => {
    const [a, w, v] = ['attended', 'weights', 'v'].map((name) => ctx.own(name));
    const { head } = ctx.state;
    const cell = (/** @type {number} */ position, /** @type {number} */ c) => {
      const [weights, value] = [w?.row(position, head), a?.row(position, head)?.[c]];
      if (!weights || value === undefined) return undefined;
      /** @type {[string, number][]} */
      const terms = [];
      for (const key of ctx.values.all) {
        const one = v?.row(key, ctx.keyHead())?.[c];
        if (one === undefined || weights[key] === 0) continue;
        terms.push([
          `w[${position}, ${key}] · v[${key}, ${c}] = ${show(weights[key])} · ${show(one)}, of ${ctx.token(key)}`,
          weights[key] * one,
        ]);
      }
      return {
        name: `a[${position}, ${c}]`,
        steps: [`Σ over the ${terms.length} tokens that ${ctx.place(position)} sees`],
        terms,
        value,
        computed: terms.reduce((all, [, term]) => all + term, 0),
        note: ctx.data.model.kvDtype === 'fp32' ? '' : 'The cache holds values rounded.',
      };
    };
    const box = arithmetic(cell(ctx.positionIn(a), 0));
    return h(
      'div',
      {},
      rows(ctx, a, { title: `What head ${head} attended`, head, onpick: (p, c) => box.update(cell(p, c)) }),
      rows(ctx, v, { title: `Values of head ${ctx.keyHead()}`, head: ctx.keyHead() }),
      box.element,
    );
  }),
};

export const projection = {
  title: 'Projection',
  formula: (/** @type {Context} */ ctx) =>
    ctx.spec.joins === 'plain'
      ? 'o_i = W_o [a_i^{head 0}, a_i^{head 1}, …] + b_o'
      : 'o_i = W_o [a_i^{head 0}, …], through a norm',
  why: 'The heads lie side by side. One more linear map mixes them and brings them back to the width of the stream.',
  view: (/** @type {Context} */ ctx) => {
    const [before, after] = [ctx.before(), ctx.own('attn_residual')];
    if (after === undefined) return undefined;
    const input = ctx.own('attn_gated') ?? ctx.own('attended');
    const read = (/** @type {number} */ position, /** @type {number} */ row) =>
      added(before, after, position, row);
    const cell = (/** @type {number} */ position) =>
      ctx.spec.joins === 'plain'
        ? linearCell(ctx, { name: 'o', left: 'a', input, position, read, added: true })
        : undefined;
    const box = arithmetic(cell(ctx.state.position));
    const picture = derived(
      ctx,
      after.positions,
      after.columns,
      (p, c) => added(before, after, p, c) ?? Number.NaN,
      {
        title: `What attention adds to the stream in layer ${ctx.state.layer}`,
        column: ctx.data.cells[`layers.${ctx.state.layer}.o`]?.row,
        onpick: (position) => box.update(cell(position)),
      },
    );
    return h('div', {}, picture, box.element);
  },
};
