/** Parts 1 to 5: from text to the rows that the first layer reads, and the norm that each layer begins with. */
import { arithmetic } from './arithmetic.js';
import { derived, rows } from './context.js';
import { h, tableHead, tokenText } from './dom.js';
import { percent, show } from './numbers.js';

/** @typedef {import('./context.js').Context} Context */

export const tokens = {
  title: 'Tokens',
  formula: 'text → t_0, t_1, …, t_{n−1}',
  why: 'The model knows no letters. A tokenizer cuts the text into pieces of a fixed vocabulary, and each piece is a number from here on.',
  /** @param {Context} ctx */
  view(ctx) {
    const before = (/** @type {number} */ i) => ctx.data.predictions[i - 1];
    const row = (/** @type {any} */ token, /** @type {number} */ i) => {
      const surprisal = before(i)?.surprisal;
      return h(
        'tr',
        { class: i === ctx.state.position && 'current' },
        h('td', {}, i),
        h('td', {}, h('code', {}, ctx.token(i))),
        h('td', {}, token.id),
        h('td', {}, surprisal === undefined ? '' : percent(Math.exp(-surprisal))),
        h('td', {}, token.generated ? 'generated' : 'prompt'),
      );
    };
    return h(
      'div',
      { class: 'scroll' },
      h(
        'table',
        {},
        tableHead(['#', 'token', 'id', 'probability it had', 'from']),
        h('tbody', {}, ctx.data.tokens.map(row)),
      ),
      h(
        'p',
        { class: 'quiet' },
        `One of ${ctx.data.model.vocabSize.toLocaleString('en')} tokens each. · stands for a space.`,
      ),
    );
  },
};

export const tokenEmbedding = {
  title: 'Token embedding',
  formula: 'e_i = E[t_i]',
  why: 'A number says nothing of a meaning. The table E has a learned row for each token, and tokens that are used alike have rows that point alike.',
  /** @param {Context} ctx */
  view(ctx) {
    const tensor = ctx.tensor('token_embed');
    if (tensor === undefined) return undefined;
    const cell = (/** @type {number} */ position, /** @type {number} */ c) => {
      const value = tensor.row(position)?.[c] ?? Number.NaN;
      const { id } = ctx.data.tokens[position];
      return {
        name: `e[${position}, ${c}]`,
        steps: [`E[${id}, ${c}]: row ${id} of the table is that of ${ctx.token(position)}`],
        value,
        computed: value,
      };
    };
    const box = arithmetic(cell(ctx.positionIn(tensor), 0));
    const picture = rows(ctx, tensor, {
      title: `Rows of the token table, ${tensor.columns} components each`,
      onpick: (p, c) => box.update(cell(p, c)),
    });
    return h('div', {}, picture, box.element, neighbours(ctx));
  },
};

/** Tokens whose rows point the same way as this one's. @param {Context} ctx */
function neighbours(ctx) {
  const near = ctx.data.neighbours[ctx.state.position];
  if (near === undefined) return undefined;
  return h(
    'p',
    {},
    `Nearest rows to that of ${ctx.token(ctx.state.position)}: `,
    near.map((/** @type {[string, number]} */ [text, cosine], /** @type {number} */ i) => [
      i > 0 && ', ',
      h('code', {}, tokenText(text)),
      ` ${show(cosine, 2)}`,
    ]),
    '.',
  );
}

/** Learned rows, turned pairs, slopes of a bias, or none. @param {Context} ctx */
function positionKind(ctx) {
  if (ctx.spec.learnedPositions) return 'learned';
  const { attention } = ctx.layer;
  if (attention?.rope) return 'rotary';
  return attention?.bias ?? 'none';
}

/** @type {Record<string, { formula: string, why: string }>} */
const positionTexts = {
  learned: {
    formula: 'p_i = P[i]',
    why: 'Attention alone would read a text as a bag of tokens. A learned row for each position says where a token stands.',
  },
  rotary: {
    formula: '(a, b) → (a cos iθ − b sin iθ, b cos iθ + a sin iθ)',
    why: 'This model adds nothing here. Each layer turns its queries and keys by angles that grow with the position, so that their product knows how far two tokens are apart.',
  },
  alibi: {
    formula: 's_{ij} −= m_h · |i − j|',
    why: 'This model adds nothing here. Scores of attention lose with the distance, each head at its own slope.',
  },
  buckets: {
    formula: 's_{ij} += b_h[bucket(j − i)]',
    why: 'This model adds nothing here. Scores of attention gain a learned value for each range of distances.',
  },
  none: {
    formula: '',
    why: 'This model adds no positions: its states read the text in order, or attention has to do without.',
  },
};

export const positionEmbedding = {
  title: 'Position embedding',
  formula: (/** @type {Context} */ ctx) => positionTexts[positionKind(ctx)].formula,
  why: (/** @type {Context} */ ctx) => positionTexts[positionKind(ctx)].why,
  /** @param {Context} ctx */
  view(ctx) {
    const kind = positionKind(ctx);
    if (kind === 'learned') return learned(ctx);
    if (kind === 'rotary') return rotary(ctx);
    return h('p', { class: 'quiet' }, 'There is no tensor to show here.');
  },
};

/** @param {Context} ctx */
function learned(ctx) {
  const tensor = ctx.tensor('position_embed');
  if (tensor === undefined) return undefined;
  const cell = (/** @type {number} */ position, /** @type {number} */ c) => {
    const value = tensor.row(position)?.[c] ?? Number.NaN;
    return {
      name: `p[${position}, ${c}]`,
      steps: [`P[${position + ctx.spec.positionOffset}, ${c}]: the row of this position`],
      value,
      computed: value,
    };
  };
  const box = arithmetic(cell(ctx.positionIn(tensor), 0));
  return h(
    'div',
    {},
    rows(ctx, tensor, { title: 'Rows of the position table', onpick: (p, c) => box.update(cell(p, c)) }),
    box.element,
  );
}

/** @param {Context} ctx */
function rotary(ctx) {
  const rope = /** @type {import('./context.js').Rope} */ (ctx.layer.attention?.rope);
  const angle = (/** @type {number} */ position, /** @type {number} */ c) => position * rope.frequencies[c];
  const cell = (/** @type {number} */ position, /** @type {number} */ c) => ({
    name: `cos(angle[${position}, ${c}])`,
    steps: [`cos(${position} · ${show(rope.frequencies[c])}) = cos(${show(angle(position, c))})`],
    value: Math.cos(angle(position, c)),
    computed: Math.cos(angle(position, c)),
  });
  const box = arithmetic(cell(ctx.state.position, 0));
  const picture = derived(ctx, ctx.values.all, rope.frequencies.length, (p, c) => Math.cos(angle(p, c)), {
    title: 'Cosine of the angle by which each pair of a head is turned',
    unit: 'pair',
    end: 1,
    onpick: (p, c) => box.update(cell(p, c)),
  });
  return h('div', {}, picture, box.element);
}

export const sum = {
  title: 'Their sum',
  formula: (/** @type {Context} */ ctx) =>
    `x_i = ${ctx.spec.embedNorm ? 'norm(' : ''}${ctx.spec.embeddingScale === 1 ? '' : `${show(ctx.spec.embeddingScale)} · `}e_i${ctx.spec.learnedPositions ? ' + p_i' : ''}${ctx.spec.embedNorm ? ')' : ''}`,
  why: 'One row of numbers for each token: the beginning of the residual stream, which every layer reads and adds to.',
  /** @param {Context} ctx */
  view(ctx) {
    const [embed, token, positions] = ['embed', 'token_embed', 'position_embed'].map((name) =>
      ctx.tensor(name),
    );
    if (embed === undefined) return undefined;
    const cell = (/** @type {number} */ position, /** @type {number} */ c) => {
      const value = embed.row(position)?.[c] ?? Number.NaN;
      const e = token?.row(position)?.[c];
      if (e === undefined || ctx.spec.embedNorm || ctx.spec.hasTypes)
        return { name: `x[${position}, ${c}]`, steps: ['The sum, through a norm.'], value, computed: value };
      const p = positions?.row(position)?.[c] ?? 0;
      const scale = ctx.spec.embeddingScale;
      const scaled = scale === 1 ? show(e) : `${show(scale)} · ${show(e)}`;
      return {
        name: `x[${position}, ${c}]`,
        steps: [positions ? `${scaled} + ${show(p)}` : scaled],
        value,
        computed: scale * e + p,
      };
    };
    const box = arithmetic(cell(ctx.positionIn(token), 0));
    return h(
      'div',
      {},
      rows(ctx, embed, {
        title: 'The residual stream before the first layer',
        onpick: (p, c) => box.update(cell(p, c)),
      }),
      box.element,
    );
  },
};

export const layerNorm = {
  title: (/** @type {Context} */ ctx) => (ctx.spec.norm === 'layer' ? 'Layer norm' : 'RMS norm'),
  formula: (/** @type {Context} */ ctx) =>
    ctx.spec.norm === 'layer'
      ? 'n = (x − mean(x)) / √(var(x) + ε) · w + b'
      : 'n = x / √(mean(x²) + ε) · w'.replace('x²', 'x^2'),
  why: 'The stream grows from layer to layer. A norm brings each row to one size, so that what a layer reads does not depend on how loud the row has become.',
  /** @param {Context} ctx */
  view(ctx) {
    const output = ctx.own('attn_norm');
    const input = ctx.before();
    if (output === undefined || input === undefined) return undefined;
    if (!ctx.spec.normsInput)
      return h(
        'p',
        {},
        'In this model a layer reads the stream as it is: its norms stand behind attention and feed-forward.',
      );
    const cell = (/** @type {number} */ position, /** @type {number} */ c) =>
      normCell(ctx, input.row(position), output.row(position)?.[c], `n[${position}, ${c}]`, c);
    const box = arithmetic(cell(ctx.positionIn(output), 0));
    return h(
      'div',
      {},
      rows(ctx, input, { title: `Before: the residual stream in front of layer ${ctx.state.layer}` }),
      rows(ctx, output, { title: 'After: what attention reads', onpick: (p, c) => box.update(cell(p, c)) }),
      box.element,
    );
  },
};

/** @param {Context} ctx @param {Float32Array | undefined} x @param {number | undefined} value @param {string} name @param {number} c */
function normCell(ctx, x, value, name, c) {
  const weight = ctx.tensor(`weight.layers.${ctx.state.layer}.attn_norm.weight`)?.values[c];
  const bias = ctx.tensor(`weight.layers.${ctx.state.layer}.attn_norm.bias`)?.values[c] ?? 0;
  if (x === undefined || value === undefined || weight === undefined) return undefined;
  const layer = ctx.spec.norm === 'layer';
  const mean = layer ? x.reduce((all, one) => all + one, 0) / x.length : 0;
  const square = x.reduce((all, one) => all + (one - mean) ** 2, 0) / x.length;
  const size = Math.sqrt(square + ctx.spec.normEps);
  const steps = layer
    ? [
        `mean = ${show(mean)}, √(var + ε) = ${show(size)}`,
        `(${show(x[c])} − ${show(mean)}) / ${show(size)} · ${show(weight)} + ${show(bias)}`,
      ]
    : [`√(mean of squares + ε) = ${show(size)}`, `${show(x[c])} / ${show(size)} · ${show(weight)}`];
  return { name, steps, value, computed: ((x[c] - mean) / size) * weight + bias };
}
