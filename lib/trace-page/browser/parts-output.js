/** Parts 17 to 20: logits and their softmax, models of other sizes, and the way as a whole. */
import { arithmetic, dot, rounded } from './arithmetic.js';
import { rows } from './context.js';
import { decoding } from './decoding.js';
import { h, tableHead, tokenText } from './dom.js';
import { bytes, percent, short, show } from './numbers.js';
import { scaleDrawing } from './scale.js';
import { timeline } from './timeline.js';

/** @typedef {import('./context.js').Context} Context */

/** @param {Context} ctx */
function noHead(ctx) {
  if (ctx.data.predictions.length > 0) return undefined;
  return h(
    'p',
    {},
    'This model has no output layer: what its last layer leaves in the stream is what it gives.',
  );
}

/** Candidates behind the position that is looked at. @param {Context} ctx */
function topOf(ctx) {
  const position = ctx.positionIn(ctx.tensor('final_norm'));
  return { position, top: ctx.data.predictions[position].top };
}

/** @param {[number, string, number, number][]} top @param {(entry: [number, string, number, number]) => [number, string]} read length from 0 to 1, text @param {(index: number) => void} onpick */
function bars(top, read, onpick) {
  return h(
    'div',
    { class: 'many', tabindex: '0', 'aria-label': 'The most probable tokens' },
    table(top, read, onpick),
  );
}

/** @param {[number, string, number, number][]} top @param {(entry: [number, string, number, number]) => [number, string]} read @param {(index: number) => void} onpick */
function table(top, read, onpick) {
  return h(
    'table',
    { class: 'bars' },
    h(
      'tbody',
      {},
      top.map((entry, i) => {
        const [length, text] = read(entry);
        return h(
          'tr',
          {},
          h(
            'th',
            { scope: 'row' },
            h('button', { type: 'button', class: 'link', onclick: () => onpick(i) }, tokenText(entry[1])),
          ),
          h('td', { class: 'bar' }, h('i', { class: 'plus', style: `width:${100 * length}%` })),
          h('td', {}, text),
        );
      }),
    ),
  );
}

export const outputLayer = {
  title: 'Output layer',
  formula: (/** @type {Context} */ ctx) =>
    `z_t = ${ctx.spec.logitsScale === 1 ? '' : `${show(ctx.spec.logitsScale)} · `}W_t · norm(x)${ctx.spec.logitsSoftCap ? `, capped at ±${ctx.spec.logitsSoftCap}` : ''}`,
  why: 'Each token of the vocabulary has a row of weights, often its row of the first table. Where the stream points its way, its logit is large.',
  /** @param {Context} ctx */
  view(ctx) {
    const none = noHead(ctx);
    if (none) return none;
    const { position, top } = topOf(ctx);
    const normed = ctx.tensor('final_norm');
    const cell = (/** @type {number} */ i) => {
      const [id, , value] = top[i] ?? [];
      const [x, w] = [normed?.row(position), ctx.tensor(`cell.head.${id}`)?.values];
      if (x === undefined || w === undefined) return undefined;
      const scale = ctx.spec.logitsScale === 1 ? undefined : ctx.spec.logitsScale;
      const note = ctx.spec.logitsSoftCap
        ? 'The cap comes behind this sum.'
        : ctx.data.model.dtype === 'int8'
          ? rounded
          : '';
      return dot({
        name: `z[${position}, ${id}]`,
        left: 'n',
        right: `W[${id}]`,
        x,
        w,
        value,
        scale,
        bias: ctx.data.headBias?.[id],
        note,
      });
    };
    const box = arithmetic(cell(0));
    const [largest, least] = [top[0][2], top.at(-1)[2]];
    return h(
      'div',
      {},
      rows(ctx, normed, { title: 'The stream behind the last layer, through the final norm' }),
      h('h3', {}, `Largest logits behind ${ctx.named(position)}`),
      box.element,
      bars(
        top,
        (entry) => [
          largest === least ? 1 : 0.05 + (0.95 * (entry[2] - least)) / (largest - least),
          show(entry[2]),
        ],
        (i) => box.update(cell(i)),
      ),
    );
  },
};

export const outputSoftmax = {
  title: 'Output softmax',
  formula: 'p_t = exp(z_t) / Σ_u exp(z_u)',
  why: 'Logits become probabilities of what comes next. A sampler draws from them, or takes the first.',
  /** @param {Context} ctx */
  view(ctx) {
    const none = noHead(ctx);
    if (none) return none;
    const { position, top } = topOf(ctx);
    const { entropy, logSumExp } = ctx.data.predictions[position];
    const cell = (/** @type {number} */ i) => {
      const [id, , logit, probability] = top[i];
      return {
        name: `p[${position}, ${id}]`,
        steps: [
          `ln Σ exp(z) = ${show(logSumExp)} over ${ctx.data.model.vocabSize.toLocaleString('en')} tokens`,
          `exp(${show(logit)} − ${show(logSumExp)})`,
        ],
        value: probability,
        computed: Math.exp(logit - logSumExp),
      };
    };
    const box = arithmetic(cell(0));
    return h(
      'div',
      {},
      h(
        'p',
        {},
        `Behind ${ctx.named(position)}: entropy ${show(entropy)} nats, as if ${show(Math.exp(entropy), 2)} tokens were equally probable.`,
      ),
      box.element,
      bars(
        top,
        (entry) => [entry[3] / top[0][3], percent(entry[3])],
        (i) => box.update(cell(i)),
      ),
    );
  },
};

const columns = ['model', 'layers', 'heads', 'width', 'vocabulary', 'context', 'parameters', 'of this one'];

/** Sizes of published models, from their configurations alone. @param {Context} ctx */
function sizes(ctx) {
  const all = [...ctx.data.scaling].sort((a, b) => a.parameters - b.parameters);
  const largest = all.at(-1).parameters;
  const side = (/** @type {number} */ parameters) => Math.max(2, 300 * Math.sqrt(parameters / largest));
  const row = (/** @type {any} */ one) =>
    h(
      'tr',
      { class: one.self ? 'current' : undefined },
      h('th', { scope: 'row' }, one.name),
      h('td', {}, one.layers),
      h('td', {}, one.heads),
      h('td', {}, one.hidden.toLocaleString('en')),
      h('td', {}, one.vocabulary.toLocaleString('en')),
      h('td', {}, one.context.toLocaleString('en')),
      h('td', {}, short(one.parameters)),
      h('td', {}, `${short(one.parameters / ctx.data.model.parameters)} ×`),
    );
  return h(
    'div',
    {},
    h(
      'div',
      {
        class: 'squares',
        role: 'img',
        'aria-label': `Squares whose areas are the parameters: ${all.map((one) => `${one.name} ${short(one.parameters)}`).join(', ')}`,
      },
      all.map((one) =>
        h(
          'div',
          {},
          h('i', {
            class: one.self ? 'self' : undefined,
            style: `width:${side(one.parameters)}px;height:${side(one.parameters)}px`,
          }),
          h('span', {}, `${one.name} ${short(one.parameters)}`),
        ),
      ),
    ),
    h('div', { class: 'scroll' }, h('table', {}, tableHead(columns), h('tbody', {}, all.map(row)))),
  );
}

export const scaling = {
  title: 'Scaling: nano-GPT to GPT-3',
  formula: 'parameters ≈ 12 · layers · width^2 + vocabulary · width',
  why: 'The drawing stays the same from a toy that sorts three letters to GPT-3. What grows is the number of blocks and their width. An area is a number of parameters.',
  view: sizes,
};

export const pipeline = {
  title: 'The whole pipeline',
  formula: 'text → tokens → rows → blocks → norm → logits → probabilities → next token',
  why: 'All of the model at its true proportions. A token walks down once for each word that is written.',
  /** @param {Context} ctx */
  view(ctx) {
    const { model } = ctx.data;
    return h(
      'div',
      {},
      h(
        'p',
        {},
        `${short(model.parameters)} parameters in ${bytes(model.weightBytes)}; a token takes ${short(ctx.data.scale.reduce((/** @type {number} */ all, /** @type {any} */ part) => all + part.operations, 0))} multiplications and additions.`,
      ),
      decoding(ctx),
      h('h3', {}, 'Its parts'),
      scaleDrawing(ctx, { tall: true }),
      h('h3', {}, 'Where the time goes'),
      timeline(ctx),
    );
  },
};
