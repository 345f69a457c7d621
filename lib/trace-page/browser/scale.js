/** The architecture drawn to scale: a bar for each part of each layer, as long as its parameters, bytes or operations. */
import { h, svg } from './dom.js';
import { bytes, percent, short } from './numbers.js';

/** @typedef {import('./context.js').Context} Context */
/** @typedef {{ name: string, layer: number, kind: string, part: number, parameters: number, bytes: number, operations: number }} Part */

const measures = /** @type {const} */ (['parameters', 'bytes', 'operations']);

/** @type {'parameters' | 'bytes' | 'operations'} */
let measure = 'parameters';

/** Parts of one layer, or outside of layers, lie in one row. @param {Part[]} parts @returns {Part[][]} */
function linesOf(parts) {
  /** @type {Part[][]} */
  const lines = [];
  for (const part of parts) {
    const line = lines.at(-1);
    if (line !== undefined && part.layer >= 0 && line[0].layer === part.layer) line.push(part);
    else lines.push([part]);
  }
  return lines;
}

const amount = (/** @type {number} */ value) => (measure === 'bytes' ? bytes(value) : short(value));

/** @param {Context} ctx @param {{ tall?: boolean }} [how] */
export function scaleDrawing(ctx, { tall = false } = {}) {
  const parts = /** @type {Part[]} */ (ctx.data.scale);
  const lines = linesOf(parts);
  const total = parts.reduce((all, part) => all + part[measure], 0);
  const widest = Math.max(...lines.map((line) => line.reduce((all, part) => all + part[measure], 0)));
  const [width, left, height] = tall ? [560, 76, 16] : [240, 66, 11];
  const gap = 3;
  const drawn = lines.map((line, row) => {
    let x = left;
    const y = row * (height + gap);
    const bars = line.map((part) => {
      const long = ((width - left) * part[measure]) / widest;
      const bar = svg(
        'rect',
        { x, y, width: Math.max(0.4, long), height, class: `kind ${part.kind}` },
        svg('title', {}, `${part.name}: ${amount(part[measure])}, ${percent(part[measure] / total)}`),
      );
      bar.addEventListener('click', () =>
        ctx.go({ part: part.part, ...(part.layer >= 0 ? { layer: part.layer } : {}) }),
      );
      x += long;
      return bar;
    });
    const { layer, name } = line[0];
    const label = svg(
      'text',
      { x: left - 6, y: y + height - 2.5, class: 'label', 'text-anchor': 'end' },
      layer >= 0 ? `layer ${layer}` : name,
    );
    const here =
      layer >= 0 &&
      layer === ctx.state.layer &&
      svg('rect', { x: 0, y: y - 1, width, height: height + 2, class: 'here' });
    return svg('g', {}, here, label, bars);
  });
  const picture = svg(
    'svg',
    {
      viewBox: `0 -2 ${width} ${lines.length * (height + gap) + 2}`,
      class: 'scale',
      role: 'img',
      'aria-label': described(lines, total),
    },
    drawn,
  );
  const buttons = measures.map((name) =>
    h(
      'button',
      { type: 'button', 'aria-pressed': String(name === measure), onclick: () => choose(ctx, name) },
      name,
    ),
  );
  return h(
    'div',
    { class: 'drawing' },
    h('div', { class: 'choice', role: 'group', 'aria-label': 'What bars measure' }, buttons),
    picture,
    key(parts),
  );
}

/** @param {Context} ctx @param {'parameters' | 'bytes' | 'operations'} name */
function choose(ctx, name) {
  measure = name;
  ctx.go({});
}

/** @param {Part[][]} lines @param {number} total */
function described(lines, total) {
  const text = lines.map(
    (line) =>
      `${line[0].layer >= 0 ? `layer ${line[0].layer}` : line[0].name} ${amount(line.reduce((all, part) => all + part[measure], 0))}`,
  );
  return `${measure} of each part, ${amount(total)} in all: ${text.join(', ')}`;
}

/** Of parts or ops, each once. @param {readonly { kind: string }[]} all */
export const kindsOf = (all) => [...new Set(all.map(({ kind }) => kind))];

export const swatch = (/** @type {string} */ kind) => h('i', { class: `kind ${kind}` });

/** A kind's colour and name. @param {string} kind */
export const kindMark = (kind) => h('span', {}, swatch(kind), kind);

/** @param {Part[]} parts */
function key(parts) {
  return h('p', { class: 'key' }, kindsOf(parts).map(kindMark));
}
