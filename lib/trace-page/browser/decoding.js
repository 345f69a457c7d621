/** How a text is written: token after token through all layers, and what the cache of keys and values holds meanwhile. */
import { fill, h } from './dom.js';
import { short } from './numbers.js';

/** @typedef {import('./context.js').Context} Context */

const stepMs = 600;
const [cell, height] = [10, 7];

/** How many tokens have been read after each step: the prompt at once, then one at a time. @param {Context} ctx */
function stepsOf(ctx) {
  /** @type {{ generated: boolean }[]} */
  const tokens = ctx.data.tokens;
  const first = tokens.findIndex(({ generated }) => generated);
  const prompt = first > 0 ? first : 1;
  return Array.from({ length: tokens.length - prompt + 1 }, (_, i) => prompt + i);
}

/** Numbers that the cache holds of a token, and layers whose states do not grow. @param {Context} ctx */
function sizesOf(ctx) {
  /** @type {import('./context.js').Layer[]} */
  const layers = ctx.spec.layers;
  const perToken = layers.reduce(
    (sum, { attention }) => sum + (attention ? 2 * attention.kvHeads * attention.headDim : 0),
    0,
  );
  return { perToken, states: layers.filter(({ attention }) => attention === undefined).length };
}

/** What a layer holds of a token when so many have been read. @param {Context} ctx @param {number} layer @param {number} token @param {number} read @param {number} before */
function held(ctx, layer, token, read, before) {
  const { attention } = ctx.spec.layers[layer];
  if (attention === undefined) return 'none';
  if (token >= read) return 'empty';
  if (attention.window !== undefined && token < read - attention.window) return 'gone';
  return token >= before ? 'new' : 'kept';
}

/** @type {Record<string, string>} a state of a cell and the custom property of its colour */
const colors = { empty: '--cell', gone: '--rule', kept: '--weight', new: '--accent' };

/** @param {Context} ctx @param {HTMLCanvasElement} canvas @param {number} read @param {number} before */
function draw(ctx, canvas, read, before) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const style = getComputedStyle(document.documentElement);
  context.clearRect(0, 0, canvas.width, canvas.height);
  for (let layer = 0; layer < ctx.spec.layers.length; layer++) {
    for (let token = 0; token < ctx.tokens; token++) {
      const property = colors[held(ctx, layer, token, read, before)];
      if (property === undefined) continue;
      context.fillStyle = style.getPropertyValue(property).trim();
      context.fillRect(token * cell, layer * height, cell - 1, height - 1);
    }
  }
}

/** @param {Context} ctx @param {number} read @param {number} step */
function said(ctx, read, step) {
  const { perToken, states } = sizesOf(ctx);
  const what =
    step === 0 && read > 1
      ? `The ${read} tokens of the prompt go through all layers at once: each writes its keys and values, and reads those before it.`
      : `${ctx.named(read - 1)} goes through all layers alone: it writes its keys and values, and reads those of the ${read - 1} before it.`;
  const numbers = perToken > 0 ? ` Numbers held: ${short(read * perToken)}.` : '';
  const state = states > 0 ? ` ${states} layers keep a state of one size instead (hatched).` : '';
  const next = read < ctx.tokens ? ` What comes next: ${ctx.token(read)}.` : '';
  return `${what}${numbers}${state}${next}`;
}

/** @param {Context} ctx */
export function decoding(ctx) {
  const steps = stepsOf(ctx);
  if (ctx.data.model.kind !== 'decoder' || steps.length < 2) return undefined;
  let at = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  const canvas = h('canvas', {
    width: ctx.tokens * cell,
    height: ctx.spec.layers.length * height,
    role: 'img',
    'aria-label': `The cache: ${ctx.spec.layers.length} layers (rows), ${ctx.tokens} tokens (columns), filled step by step.`,
  });
  canvas.style.width = `min(100%, ${ctx.tokens * cell * 2}px)`;
  const text = h('p', { class: 'readout', 'aria-live': 'polite' });
  const play = h(
    'button',
    { type: 'button', onclick: () => (timer === undefined ? start() : stop()) },
    'Play',
  );
  const slider = h('input', {
    type: 'range',
    min: 0,
    max: steps.length - 1,
    'aria-label': 'Step of decoding',
    oninput: () => look(Number(slider.value)),
  });
  const look = (/** @type {number} */ step) => {
    at = Math.max(0, Math.min(steps.length - 1, step));
    const before = at === 0 ? 0 : steps[at - 1];
    slider.value = String(at);
    draw(ctx, canvas, steps[at], before);
    fill(text, `Step ${at + 1} of ${steps.length}. ${said(ctx, steps[at], at)}`);
  };
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    fill(play, 'Play');
  };
  const start = () => {
    if (at === steps.length - 1) look(0);
    fill(play, 'Stop');
    timer = setInterval(() => {
      // Another part may be shown meanwhile.
      if (!canvas.isConnected || at === steps.length - 1) stop();
      else look(at + 1);
    }, stepMs);
  };
  look(0);
  return h(
    'section',
    { class: 'decoding' },
    h('h3', {}, 'The cache of keys and values, while the text is written'),
    h(
      'p',
      { class: 'quiet' },
      'A row for each layer, a column for each token. What a token wrote stays: the next ones read it, and nobody computes it again.',
    ),
    h('div', { class: 'controls' }, play, slider),
    canvas,
    h(
      'p',
      { class: 'key' },
      h('span', {}, h('i', { style: 'background:var(--accent)' }), 'written in this step'),
      h('span', {}, h('i', { style: 'background:var(--weight)' }), 'read in this step'),
      h('span', {}, h('i', { style: 'background:var(--cell)' }), 'free'),
    ),
    text,
  );
}
