/** Parts 13 to 16: the feed-forward, the residual stream, the block, and blocks on top of each other. */
import { arithmetic } from './arithmetic.js';
import { added, derived, norm, rows } from './context.js';
import { fill, h, tableHead, tokenText } from './dom.js';
import { picture } from './heat.js';
import { percent, show } from './numbers.js';
import { linearCell } from './parts-attention.js';
import { expertsView } from './parts-experts.js';

/** @typedef {import('./context.js').Context} Context */

/** Of Gauss's error function, by Abramowitz and Stegun 7.1.26; to 1.5e-7. @param {number} x */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}

/** @type {Record<string, { text: string, of: (x: number) => number }>} */
const activations = {
  silu: { text: 'x / (1 + e^{−x})', of: (x) => x / (1 + Math.exp(-x)) },
  relu: { text: 'max(0, x)', of: (x) => Math.max(0, x) },
  relu2: { text: 'max(0, x)^2', of: (x) => Math.max(0, x) ** 2 },
  quick_gelu: { text: 'x / (1 + e^{−1.702 x})', of: (x) => x / (1 + Math.exp(-1.702 * x)) },
  gelu_tanh: {
    text: 'x/2 (1 + tanh(√(2/π)(x + 0.044715 x^3)))',
    of: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  },
  gelu_erf: { text: 'x/2 (1 + erf(x/√2))', of: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)) },
};

/** @param {Context} ctx */
function feedForwardFormula(ctx) {
  const { activation, gated, experts } = ctx.layer.feedForward;
  const one = gated ? 'W_{down} (act(W_{gate} n) ⊙ W_{up} n)' : 'W_{down} act(W_{up} n)';
  const act = activations[activation];
  return `${experts ? `f = Σ over ${experts.used} of ${experts.count} experts of g_e · ` : 'f = '}${one}${act ? `,  act(x) = ${act.text}` : `, act: ${activation}`}`;
}

export const feedForward = {
  title: (/** @type {Context} */ ctx) =>
    ctx.layer.feedForward.experts ? 'Feed-forward: experts' : 'Feed-forward',
  formula: feedForwardFormula,
  why: 'Attention moved things between tokens; here each token thinks by itself. Most of what a model knows lies in these two maps and the bend between them.',
  /** @param {Context} ctx */
  view(ctx) {
    if (ctx.layer.feedForward.experts) return expertsView(ctx);
    const [input, gate, up, act] = ['ffn_norm', 'gate', 'up', 'activation'].map((name) => ctx.own(name));
    const [before, after] = [ctx.own('attn_residual'), ctx.own('ffn_residual')];
    const box = arithmetic(activationCell(ctx, ctx.positionIn(act), 0));
    const linear =
      (/** @type {string} */ name, /** @type {import('./values.js').Tensor | undefined} */ output) =>
      (/** @type {number} */ position) => {
        const read = (/** @type {number} */ at, /** @type {number} */ row) => output?.row(at)?.[row];
        box.update(linearCell(ctx, { name, left: 'n', input, position, read }));
      };
    const down = (/** @type {number} */ position) => {
      const read = (/** @type {number} */ at, /** @type {number} */ row) => added(before, after, at, row);
      return ctx.spec.joins === 'plain'
        ? linearCell(ctx, { name: 'down', left: 'h', input: act, position, read, added: true })
        : undefined;
    };
    const column = (/** @type {string} */ name) => ctx.data.cells[`layers.${ctx.state.layer}.${name}`]?.row;
    return h(
      'div',
      {},
      rows(ctx, input, { title: 'What it reads, through the norm' }),
      rows(ctx, gate, { title: 'Gate', column: column('gate'), onpick: linear('gate', gate) }),
      rows(ctx, up, { title: 'Up', column: column('up'), onpick: linear('up', up) }),
      rows(ctx, act, {
        title: gate ? 'act(gate) ⊙ up' : 'act(up)',
        onpick: (p, c) => box.update(activationCell(ctx, p, c)),
      }),
      after &&
        input &&
        derived(ctx, input.positions, after.columns, (p, c) => added(before, after, p, c) ?? Number.NaN, {
          title: 'Down: what the layer adds to the stream',
          column: column('down'),
          onpick: (position) => box.update(down(position)),
        }),
      box.element,
    );
  },
};

/** @param {Context} ctx @param {number} position @param {number} c */
function activationCell(ctx, position, c) {
  const [gate, up, value] = ['gate', 'up', 'activation'].map((name) => ctx.own(name)?.row(position)?.[c]);
  const act = activations[ctx.layer.feedForward.activation];
  if (up === undefined || value === undefined || act === undefined) return undefined;
  const x = gate ?? up;
  const name = `h[${position}, ${c}]`;
  if (gate === undefined)
    return { name, steps: [`act(${show(up)}) = ${show(act.of(up))}`], value, computed: act.of(up) };
  return {
    name,
    steps: [`act(${show(x)}) · ${show(up)} = ${show(act.of(x))} · ${show(up)}`],
    value,
    computed: act.of(x) * up,
  };
}

/** @type {Record<string, { formula: string, why: string }>} */
const joins = {
  pre: {
    formula: 'x ← x + attention(norm(x)),  x ← x + f(norm(x))',
    why: 'Nothing is replaced, all is added: what an early layer wrote, a late one can still read, and in training the error flows back along the sum.',
  },
  post: {
    formula: 'x ← x + norm(attention(x)),  x ← x + norm(f(x))',
    why: 'What is added goes through a norm first, so that no layer drowns the stream.',
  },
  sandwich: {
    formula: 'x ← x + norm(attention(norm(x))),  x ← x + norm(f(norm(x)))',
    why: 'Norms stand before and behind each part: what is read and what is added have a known size.',
  },
  parallel: {
    formula: 'x ← x + attention(norm(x)) + f(norm(x))',
    why: 'Attention and feed-forward read the same rows and add to them together.',
  },
  add_norm: {
    formula: 'x ← norm(x + attention(x)),  x ← norm(x + f(x))',
    why: 'The sum itself goes through a norm: the form of the first transformers and of most encoders.',
  },
};

export const residuals = {
  title: 'Residual stream',
  formula: (/** @type {Context} */ ctx) => joins[ctx.spec.residual].formula,
  why: (/** @type {Context} */ ctx) => joins[ctx.spec.residual].why,
  /** @param {Context} ctx */
  view(ctx) {
    const [before, middle, after] = [ctx.before(), ctx.own('attn_residual'), ctx.own('ffn_residual')];
    if (before === undefined || after === undefined) return undefined;
    const cell = (/** @type {number} */ position, /** @type {number} */ c) => {
      const [x, m, y] = [before, middle, after].map((tensor) => tensor?.row(position)?.[c]);
      if (x === undefined || y === undefined || m === undefined) return undefined;
      return {
        name: `x[${position}, ${c}]`,
        steps: [`${show(x)} + ${show(m - x)} of attention + ${show(y - m)} of the feed-forward`],
        value: y,
        computed: x + (m - x) + (y - m),
      };
    };
    const box = arithmetic(cell(ctx.positionIn(middle), 0));
    return h(
      'div',
      {},
      rows(ctx, before, { title: `Before layer ${ctx.state.layer}` }),
      rows(ctx, middle, { title: 'Behind attention' }),
      rows(ctx, after, {
        title: `Behind layer ${ctx.state.layer}`,
        onpick: (p, c) => box.update(cell(middle?.positions.includes(p) ? p : ctx.positionIn(middle), c)),
      }),
      box.element,
    );
  },
};

/** Components of a layer in the order in which they run, and the part that explains each. @param {Context} ctx */
function componentsOf(ctx) {
  /** @type {[string, number][]} */
  const all = [
    ['attn_norm', 5],
    ['conv_in', 6],
    ['delta_in', 6],
    ['q', 7],
    ['k', 7],
    ['v', 7],
    ['q_rotated', 8],
    ['k_rotated', 8],
    ['scores', 8],
    ['weights', 10],
    ['attended', 11],
    ['attn_gate', 11],
    ['attn_gated', 11],
    ['attn_residual', 12],
    ['ffn_norm', 5],
    ['router', 13],
    ['experts', 13],
    ['gate', 13],
    ['up', 13],
    ['activation', 13],
    ['ffn_residual', 14],
  ];
  return all.filter(([name]) => ctx.own(name) !== undefined);
}

export const block = {
  title: 'The block',
  formula: (/** @type {Context} */ ctx) => joins[ctx.spec.residual].formula,
  why: 'One layer, whole: tokens exchange something, then each works on what it has. All layers have this form and weights of their own.',
  /** @param {Context} ctx */
  view(ctx) {
    const row = (/** @type {[string, number]} */ [name, part]) => {
      const tensor = ctx.own(name);
      const { statistics } = ctx.data;
      const s = statistics[`layers.${ctx.state.layer}.${name}`];
      return h(
        'tr',
        {},
        h(
          'th',
          { scope: 'row' },
          h('button', { type: 'button', class: 'link', onclick: () => ctx.go({ part }) }, name),
        ),
        h('td', {}, `[${tensor?.entry.shape.join(', ')}]`),
        h('td', {}, s ? show(s.rms) : ''),
        h('td', {}, s ? show(s.min) : ''),
        h('td', {}, s ? show(s.max) : ''),
      );
    };
    return h(
      'div',
      { class: 'scroll' },
      h(
        'p',
        {},
        `Layer ${ctx.state.layer} of ${ctx.spec.layers.length}, component after component. Follow a name to the part that shows it.`,
      ),
      h(
        'table',
        {},
        tableHead(['component', 'shape', 'root mean square', 'least', 'largest']),
        h('tbody', {}, componentsOf(ctx).map(row)),
      ),
      h('p', { class: 'quiet' }, 'Shapes and statistics are of all tokens; pictures hold the chosen ones.'),
    );
  },
};

/** @type {WeakMap<object, number[][]>} the values of a page and the lengths of its residual stream, computed once */
const lengths = new WeakMap();

/** [layers][tokens] @param {Context} ctx */
function lengthsOf(ctx) {
  const held = lengths.get(ctx.values);
  if (held !== undefined) return held;
  const found = ctx.spec.layers.map((/** @type {unknown} */ _, /** @type {number} */ layer) =>
    ctx.values.all.map((position) =>
      norm(ctx.tensor(`layers.${layer}.ffn_residual`)?.row(position) ?? new Float32Array(0)),
    ),
  );
  lengths.set(ctx.values, found);
  return found;
}

export const stacking = {
  title: 'Stacking blocks',
  formula: (/** @type {Context} */ ctx) =>
    `x^{(l+1)} = block_l(x^{(l)}),  l from 0 to ${ctx.spec.layers.length - 1}`,
  why: 'Early layers gather, late ones decide. The logit lens reads the stream behind each layer as if it were the last one.',
  /** @param {Context} ctx */
  view(ctx) {
    const layers = ctx.spec.layers.map((/** @type {unknown} */ _, /** @type {number} */ layer) => layer);
    const sizes = lengthsOf(ctx);
    const picked = h('p', { class: 'readout' });
    return h(
      'div',
      {},
      lens(ctx, layers),
      nearest(ctx),
      picture({
        title:
          'Length of the residual stream behind each layer (rows), of each token (columns), as its logarithm to base 10',
        rows: layers.length,
        columns: ctx.tokens,
        value: (layer, c) => Math.log10(sizes[layer][c] || Number.NaN),
        rowName: (layer) => `layer ${layer}`,
        columnName: (c) => `token ${ctx.place(c)}`,
        rowLabels: layers.map((/** @type {number} */ layer) => `layer ${layer}`),
        columnLabels: ctx.values.all.map((position) => ctx.token(position)),
        signed: sizes.flat().some((/** @type {number} */ size) => size < 1),
        onpick: (layer, position) => {
          fill(
            picked,
            `Length behind layer ${layer} at ${ctx.place(position)}: ${show(sizes[layer][position])}`,
          );
          ctx.go({ layer, position });
        },
      }),
      picked,
    );
  },
};

/** Tokens whose rows of the table point the way of the stream, layer after layer. @param {Context} ctx */
function nearest(ctx) {
  const { streamNeighbours: held } = ctx.data;
  const positions = Object.keys(held).map(Number);
  if (positions.length === 0) return undefined;
  const { position: wanted } = ctx.state;
  const position = positions.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a));
  const row = (/** @type {[string, number][]} */ near, /** @type {number} */ i) =>
    h(
      'tr',
      { class: i - 1 === ctx.state.layer && 'current' },
      h('th', { scope: 'row' }, i === 0 ? 'before' : `layer ${i - 1}`),
      near.map(([text, cosine]) => h('td', {}, h('code', {}, tokenText(text)), ` ${show(cosine, 2)}`)),
    );
  return h(
    'section',
    { 'aria-label': 'Nearest rows of the token table' },
    h('h3', {}, `Where the stream of ${ctx.named(position)} points`),
    h(
      'p',
      { class: 'quiet' },
      'Tokens whose rows of the table are nearest to the stream behind each layer, with the cosine of the angle between them: it begins at the token itself and turns away from it.',
    ),
    h(
      'details',
      { class: 'nearest' },
      h('summary', {}, 'Nearest rows, layer after layer'),
      h('div', { class: 'scroll many' }, h('table', {}, h('tbody', {}, held[position].map(row)))),
    ),
  );
}

/** What fits a cell of the lens. @param {string} text */
const cut = (text) => (text.length > 8 ? `${text.slice(0, 7)}…` : text);

/** What each layer would say next, at each token. @param {Context} ctx @param {number[]} layers */
function lens(ctx, layers) {
  const { lens: rowsOf } = ctx.data;
  if (rowsOf.length === 0)
    return h('p', { class: 'quiet' }, 'This model predicts no tokens: it has no logit lens.');
  const cell = (/** @type {number} */ layer, /** @type {number} */ position) => {
    const [text, probability] = rowsOf[layer][position];
    const is = text === ctx.data.predictions[position]?.top[0]?.[1];
    // Few classes and no styles or titles of their own: there are thousands of cells.
    return h('td', { class: `p${Math.round(10 * probability)}${is ? ' same' : ''}` }, cut(tokenText(text)));
  };
  const readout = h('p', { class: 'readout', 'aria-live': 'polite' });
  const look = (/** @type {number} */ layer, /** @type {number} */ position) => {
    const [text, probability] = rowsOf[layer][position];
    const share = percent(probability);
    fill(readout, `layer ${layer} behind ${ctx.named(position)}: “${tokenText(text)}”, ${share}`);
  };
  const over = (/** @type {Event} */ event) => {
    const found = /** @type {Element} */ (event.target).closest('td');
    const row = found?.parentElement;
    if (!found || !row || row.parentElement?.tagName !== 'TBODY') return;
    look(layers.length - 1 - [...row.parentElement.children].indexOf(row), found.cellIndex - 1);
  };
  const head = h(
    'tr',
    {},
    h('td'),
    ctx.values.all.map((position) =>
      h(
        'th',
        { scope: 'col', class: position === ctx.state.position ? 'current' : undefined },
        cut(ctx.token(position)),
      ),
    ),
  );
  const body = [...layers].reverse().map((layer) =>
    h(
      'tr',
      {},
      h(
        'th',
        { scope: 'row' },
        h('button', { type: 'button', class: 'link', onclick: () => ctx.go({ layer }) }, layer),
      ),
      ctx.values.all.map((position) => cell(layer, position)),
    ),
  );
  look(ctx.state.layer, ctx.state.position);
  return h(
    'section',
    { 'aria-label': 'Logit lens' },
    h('h3', {}, 'Logit lens'),
    h(
      'p',
      { class: 'quiet' },
      'The most probable next token behind each layer, the last layer on top; the stronger the colour, the surer. Bold: what the model says in the end.',
    ),
    h(
      'div',
      { class: 'scroll', onpointerover: over, onclick: over },
      h(
        'table',
        { class: 'lens', style: `width:${2.6 + 4.4 * ctx.tokens}rem` },
        h('thead', {}, head),
        h('tbody', {}, body),
      ),
    ),
    readout,
  );
}
