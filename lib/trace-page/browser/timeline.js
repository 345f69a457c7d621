/** Where the time went: the ops of the text, layer after layer, each as long as it took, and how near it came to the limits. */
import { fill, h, svg, tableHead } from './dom.js';
import { bytes, percent, short } from './numbers.js';
import { kindMark, kindsOf, swatch } from './scale.js';

/**
 * @typedef {import('./context.js').Context} Context
 * @typedef {{ op: string, layer: number, kind: string, ns: number, weightBytes: number, outputBytes: number, operations: number }} Op
 * @typedef {{ ns: number, bytes: number, operations: number }} Amount
 * @typedef {{ x: number, line: number, long: number }} Piece
 */

const [width, left, height, gap] = [560, 76, 16, 3];
/** Lines that ops outside of layers may take: longer ones make the lines of layers shorter. */
const mostLines = 4;

/** @param {Op} op @returns {Amount} */
const amountOf = (op) => ({ ns: op.ns, bytes: op.weightBytes + op.outputBytes, operations: op.operations });

/** @param {Amount[]} all @returns {Amount} */
function sumOf(all) {
  const sum = { ns: 0, bytes: 0, operations: 0 };
  for (const one of all) {
    sum.ns += one.ns;
    sum.bytes += one.bytes;
    sum.operations += one.operations;
  }
  return sum;
}

/** Per nanosecond, which is in G per second. @param {Amount} one @param {'bytes' | 'operations'} what */
const rate = (one, what) => one[what] / Math.max(1, one.ns);

const milliseconds = (/** @type {number} */ ns) => `${Number((ns / 1e6).toPrecision(3))} ms`;
const digits = (/** @type {number} */ value) => String(Number(value.toPrecision(3)));

/** An op that is shorter did nothing or too little to have a rate. */
const shortest = 1000;

/** The best rates of single ops. @param {Op[]} all */
function bestOf(all) {
  const ops = all.filter(({ ns }) => ns >= shortest);
  const most = (/** @type {'bytes' | 'operations'} */ what) =>
    ops.reduce(
      (best, op) => (rate(amountOf(op), what) > rate(amountOf(best), what) ? op : best),
      ops[0] ?? all[0],
    );
  const [moving, computing] = [most('bytes'), most('operations')];
  return {
    moving,
    computing,
    bytes: rate(amountOf(moving), 'bytes'),
    operations: rate(amountOf(computing), 'operations'),
  };
}

/** @typedef {ReturnType<typeof bestOf>} Best */

const share = (/** @type {number} */ value, /** @type {number} */ of) => percent(of === 0 ? 0 : value / of);
const nameOf = (/** @type {Op} */ op) => (op.layer < 0 ? op.op : `layer ${op.layer}: ${op.op}`);

/** The cells of a row: ms, share of the time, bytes, operations, rates and their shares. @param {Amount} one @param {number} all nanoseconds @param {Best} best */
function cells(one, all, best) {
  const rates = (/** @type {'bytes' | 'operations'} */ what) => {
    if (one.ns < shortest || one[what] === 0) return ['–', '–'];
    return [digits(rate(one, what)), share(rate(one, what), best[what])];
  };
  return [
    ...[milliseconds(one.ns), share(one.ns, all), bytes(one.bytes), ...rates('bytes')],
    ...[one.operations === 0 ? '–' : short(one.operations), ...rates('operations')],
  ];
}

const columns = ['time', 'of all', 'bytes', 'GB/s', 'of the best', 'operations', 'GOP/s', 'of the best'];

/** @param {string} caption @param {string} first @param {[string, Amount, Child?][]} rows @param {number} all @param {Best} best */
function table(caption, first, rows, all, best) {
  const row = (/** @type {[string, Amount, Child?]} */ [name, amount, mark]) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, mark, name),
      cells(amount, all, best).map((text) => h('td', {}, text)),
    );
  return h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      { class: 'values times' },
      h('caption', {}, caption),
      tableHead([first, ...columns]),
      h('tbody', {}, rows.map(row)),
    ),
  );
}

/** @typedef {import('./dom.js').Child} Child */

/** Ops that follow each other in one layer, or outside of layers. @param {Op[]} ops @returns {Op[][]} */
function runsOf(ops) {
  /** @type {Op[][]} */
  const runs = [];
  for (const op of ops) {
    if (runs.at(-1)?.[0].layer === op.layer) runs.at(-1)?.push(op);
    else runs.push([op]);
  }
  return runs;
}

const timeOf = (/** @type {Op[]} */ run) => run.reduce((sum, { ns }) => sum + ns, 0);

/**
 * Where each op lies: a layer in one line, ops outside of layers in as many as they take.
 * @param {Op[][]} runs
 */
function layOut(runs) {
  const longest = (/** @type {Op[][]} */ some) => Math.max(1, ...some.map(timeOf));
  const inLine = Math.max(
    longest(runs.filter(([op]) => op.layer >= 0)),
    longest(runs.filter(([op]) => op.layer < 0)) / mostLines,
  );
  /** @type {Map<Op, Piece[]>} */
  const places = new Map();
  /** @type {{ line: number, name: string, layer: number }[]} */
  const labels = [];
  let line = 0;
  for (const run of runs) {
    labels.push({
      line,
      name: run[0].layer < 0 ? run[0].kind : `layer ${run[0].layer}`,
      layer: run[0].layer,
    });
    let at = 0;
    for (const op of run) {
      /** @type {Piece[]} */
      const pieces = [];
      const end = at + op.ns;
      do {
        const stop = Math.min(end, inLine * (Math.floor(at / inLine) + 1));
        pieces.push({
          x: left + ((at % inLine) / inLine) * (width - left),
          line: line + Math.floor(at / inLine),
          long: ((stop - at) / inLine) * (width - left),
        });
        at = stop;
      } while (at < end);
      places.set(op, pieces);
    }
    line += Math.max(1, Math.ceil(at / inLine));
  }
  return { places, labels, lines: line, inLine };
}

/** What is told of one op. @param {Op} op @param {number} all @param {Best} best */
function said(op, all, best) {
  const [time, ofAll, moved, movedRate, ofMoved, computed, computedRate, ofComputed] = cells(
    amountOf(op),
    all,
    best,
  );
  const rated = (/** @type {string} */ reached, /** @type {string} */ unit, /** @type {string} */ of) =>
    reached === '–' ? '' : `, ${reached} ${unit}, ${of} of the best rate of this trace`;
  const arithmetic =
    op.operations === 0 ? '' : `; ${computed} operations${rated(computedRate, 'GOP/s', ofComputed)}`;
  return `${nameOf(op)}: ${time}, ${ofAll} of the time; ${moved}${rated(movedRate, 'GB/s', ofMoved)}${arithmetic}`;
}

/** @param {Map<Op, Piece[]>} places @returns {Map<Op, SVGElement[]>} */
function barsOf(places) {
  return new Map(
    [...places].map(([op, pieces]) => [
      op,
      pieces.map(({ x, line, long }) =>
        svg('rect', {
          x,
          y: line * (height + gap),
          width: Math.max(0.4, long),
          height,
          class: `kind ${op.kind}`,
          'data-op': nameOf(op),
        }),
      ),
    ]),
  );
}

/** The name of a line, marked where it is the layer that is looked at. @param {Context} ctx @param {{ line: number, name: string, layer: number }} label */
function labelOf(ctx, { line, name, layer }) {
  const y = line * (height + gap);
  const isHere = layer >= 0 && layer === ctx.state.layer;
  return svg(
    'g',
    {},
    isHere && svg('rect', { x: 0, y: y - 1, width: left - 3, height: height + 2, class: 'here' }),
    svg('text', { x: left - 6, y: y + height - 4, class: 'label', 'text-anchor': 'end' }, name),
  );
}

/** @param {Context} ctx @param {Op[]} ops @param {Best} best */
function drawing(ctx, ops, best) {
  const { places, labels, lines, inLine } = layOut(runsOf(ops));
  const all = timeOf(ops);
  const bars = barsOf(places);
  const readout = h('p', { class: 'readout', role: 'status' });
  const picture = svg(
    'svg',
    {
      viewBox: `0 -2 ${width} ${lines * (height + gap) + 2}`,
      class: 'scale times',
      role: 'img',
      tabindex: 0,
      'aria-label': `The ops of ${ctx.tokens} tokens in ${lines} lines, ${milliseconds(all)} in all. Arrow keys read ops: left and right along the time, up and down by layer.`,
    },
    labels.map((label) => labelOf(ctx, label)),
    [...bars.values()].flat(),
  );
  listen(picture, ops, bars, (op) => fill(readout, said(op, all, best)));
  return [
    h('div', { class: 'scroll' }, picture),
    h('p', { class: 'key' }, `A line is ${milliseconds(inLine)}. `, kindsOf(ops).map(kindMark)),
    readout,
  ];
}

/**
 * The op that the pointer is on is marked and told, else the one that was picked last: the longest at first.
 * @param {SVGElement} picture @param {Op[]} ops @param {Map<Op, SVGElement[]>} bars @param {(op: Op) => void} tell
 */
function listen(picture, ops, bars, tell) {
  let current = ops.reduce((a, b) => (b.ns > a.ns ? b : a));
  const look = (/** @type {Op} */ op) => {
    for (const bar of picture.querySelectorAll('.looked-at')) bar.classList.remove('looked-at');
    for (const bar of bars.get(op) ?? []) bar.classList.add('looked-at');
    tell(op);
  };
  const pick = (/** @type {Op} */ op) => {
    current = op;
    look(op);
  };
  for (const [op, own] of bars) {
    for (const bar of own) {
      bar.addEventListener('pointerenter', () => look(op));
      bar.addEventListener('click', () => pick(op));
    }
  }
  picture.addEventListener('pointerleave', () => look(current));
  picture.addEventListener('keydown', (event) => {
    const next = moved(ops, current, /** @type {KeyboardEvent} */ (event));
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    pick(next);
  });
  look(current);
}

/** Where a key leads from an op; undefined for other keys. @param {Op[]} ops @param {Op} from @param {KeyboardEvent} event */
function moved(ops, from, event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return undefined;
  const at = ops.indexOf(from);
  if (event.key === 'ArrowRight') return ops[Math.min(ops.length - 1, at + 1)];
  if (event.key === 'ArrowLeft') return ops[Math.max(0, at - 1)];
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return undefined;
  const down = event.key === 'ArrowDown';
  const others = down ? ops.slice(at + 1) : ops.slice(0, at).reverse();
  return others.find(({ op }) => op === from.op) ?? from;
}

/** @param {Context} ctx */
export function timeline(ctx) {
  const given = /** @type {{ ops: Op[], lensNs: number } | undefined} */ (ctx.data.timeline);
  if (given === undefined) {
    return h(
      'p',
      { class: 'quiet' },
      'There is no timeline of this text: layers ran on a GPU, whose ops run later than they are called.',
    );
  }
  const { ops, lensNs } = given;
  const best = bestOf(ops);
  const all = timeOf(ops);
  const byKind = kindsOf(ops).map((kind) => {
    const own = ops.filter((op) => op.kind === kind);
    return /** @type {[string, Amount, Child]} */ ([kind, sumOf(own.map(amountOf)), swatch(kind)]);
  });
  const total = /** @type {[string, Amount]} */ (['all', sumOf(ops.map(amountOf))]);
  const details = h('details', {}, h('summary', {}, 'Every op as a table'));
  details.addEventListener('toggle', () => {
    if (!details.open || details.children.length > 1) return;
    const rows = ops.map((op) => /** @type {[string, Amount]} */ ([nameOf(op), amountOf(op)]));
    details.append(table('Every op, in the order in which they ran', 'op', rows, all, best));
  });
  return h(
    'figure',
    { class: 'timeline' },
    h('figcaption', {}, `Each op of ${ctx.tokens} tokens, as long as it took`),
    drawing(ctx, ops, best),
    table('By kind of op', 'kind', [...byKind, total], all, best),
    details,
    limits(best, lensNs),
  );
}

/** What the numbers are of. @param {Best} best @param {number} lensNs */
function limits(best, lensNs) {
  const computing =
    best.operations > 0
      ? ` and the most operations a second, ${digits(best.operations)} GOP/s in ${nameOf(best.computing)}`
      : '';
  const lens = lensNs > 0 ? ` The logit lens took ${milliseconds(lensNs)} more, which no answer needs.` : '';
  return h(
    'p',
    { class: 'quiet limits' },
    `The limits are the best rates in this trace: the most bytes a second, ${digits(best.bytes)} GB/s in ${nameOf(best.moving)}${computing}. They are not what the machine could do; an op below 1 µs has no rate. Bytes are weights that an op read and results that it wrote; operations are multiplications with their additions, of linears and of attention. Tracing goes op after op and keeps every result: a step that generates is faster. All tokens went through each layer at once; the trace has no step of a single token.${lens}`,
  );
}
