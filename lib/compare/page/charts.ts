/**
 * The charts of the page, as SVG without a script. Scales and their ticks are d3-scale's; colours are the page's classes,
 * so that one drawing serves light, dark and paper. Every mark has a title with its value.
 */
import { scaleBand, scaleLinear, scaleLog } from 'd3-scale';
import { type Child, element, type Markup } from './markup.js';

const WIDTH = 380;
const HEIGHT = 230;
const MARGIN = { top: 12, right: 12, bottom: 38, left: 54 };
const LEFT = MARGIN.left;
const RIGHT = WIDTH - MARGIN.right;
const TOP = MARGIN.top;
const BOTTOM = HEIGHT - MARGIN.bottom;

function svg(label: string, height: number, ...children: Child[]): Markup {
  const attributes = { viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', 'aria-label': label };
  return element('svg', attributes, ...children);
}

function label(x: number, y: number, content: string, anchor = 'middle', name = 'label'): Markup {
  return element('text', { x, y, 'text-anchor': anchor, class: name }, content);
}

function line(x1: number, y1: number, x2: number, y2: number, name: string): Markup {
  return element('line', { x1, y1, x2, y2, class: name });
}

interface Axis {
  (value: number): number;
  ticks(count: number): number[];
}

function valueAxis(scale: Axis, count: number, format: (value: number) => string): Markup[] {
  return gridLines(scale, scale.ticks(count), format);
}

function gridLines(
  scale: (value: number) => number,
  ticks: number[],
  format: (value: number) => string,
): Markup[] {
  return ticks.flatMap((tick) => [
    line(LEFT, scale(tick), RIGHT, scale(tick), 'grid'),
    label(LEFT - 6, scale(tick) + 4, format(tick), 'end'),
  ]);
}

export interface Point {
  /** Place on the horizontal axis. */
  at: string;
  value: number;
  low: number;
  high: number;
}

/** A value with the best and the worst of 90 % of its samples. */
export function pointOf(at: string, value: number, samples: readonly number[]): Point {
  const sorted = [...samples].sort((x, y) => x - y);
  const cut = Math.floor(sorted.length / 20);
  return { at, value, low: sorted[cut]!, high: sorted.at(-1 - cut)! };
}

/** One mode: `a` is drawn as the reference, `b` as what is compared. */
export interface Line {
  name: string;
  side: 'a' | 'b';
  points: readonly Point[];
}

/** Values with their ranges at a few places, a line for each mode, on a logarithmic axis. */
export function lineChart(title: string, unit: string, lines: readonly Line[], axis: string): Markup {
  const points = lines.flatMap((one) => one.points);
  const places = scaleBand([...new Set(points.map(({ at }) => at))], [LEFT, RIGHT]);
  const values = scaleLog(
    [Math.min(...points.map(({ low }) => low)) / 1.15, Math.max(...points.map(({ high }) => high)) * 1.15],
    [BOTTOM, TOP],
  );
  const middle = ({ at }: Point, side: string) =>
    places(at)! + places.bandwidth() / 2 + (side === 'a' ? -4 : 4);
  const drawn = lines.map(({ name, side, points: own }) => {
    const path = own.map(
      (p, i) => `${i === 0 ? 'M' : 'L'}${middle(p, side).toFixed(2)} ${values(p.value).toFixed(2)}`,
    );
    return element(
      'g',
      { class: side },
      element('path', { d: path.join(''), class: 'curve' }),
      own.map((p) =>
        element(
          'g',
          {},
          element(
            'title',
            {},
            `${name}, ${p.at}: ${round(p.value)} ${unit} (${round(p.low)} to ${round(p.high)})`,
          ),
          line(middle(p, side), values(p.low), middle(p, side), values(p.high), 'range'),
          element('circle', { cx: middle(p, side), cy: values(p.value), r: 4, class: 'dot' }),
        ),
      ),
    );
  });
  const names = places.domain().map((at) => label(places(at)! + places.bandwidth() / 2, BOTTOM + 16, at));
  return svg(title, HEIGHT, spacedAxis(values), names, label((LEFT + RIGHT) / 2, HEIGHT - 4, axis), drawn);
}

/** Ticks of a logarithmic axis: 1, 2 and 5 of each decade, or more where these are few, far enough apart to be read. */
function spacedAxis(scale: Axis): Markup[] {
  const all = scale.ticks(6);
  const round125 = all.filter((tick) => /^[125]/.test(tick.toExponential()));
  const chosen: number[] = [];
  for (const tick of round125.length >= 3 ? round125 : all) {
    const last = chosen.at(-1);
    if (last === undefined || Math.abs(scale(last) - scale(tick)) >= 22) chosen.push(tick);
  }
  return gridLines(scale, chosen, round);
}

export interface Ratio {
  name: string;
  ratio: number;
  low: number;
  high: number;
  significant: boolean;
}

/** Ratios with their intervals beside the line of 1, where nothing differs. */
export function ratioChart(title: string, ratios: readonly Ratio[]): Markup {
  const step = 22;
  const bottom = TOP + step * ratios.length;
  const least = Math.min(0.9, ...ratios.map(({ low }) => low));
  const most = Math.max(1.1, ...ratios.map(({ high }) => high));
  const left = 120;
  const scale = scaleLinear([least, most], [left, RIGHT]).nice(5);
  const grid = scale
    .ticks(5)
    .flatMap((tick) => [
      line(scale(tick), TOP, scale(tick), bottom, tick === 1 ? 'one' : 'grid'),
      label(scale(tick), bottom + 16, `${round(tick)}×`),
    ]);
  const rows = ratios.map(({ name, ratio, low, high, significant }, i) => {
    const y = TOP + step * (i + 0.5);
    const said = significant ? '' : ': no significant difference';
    return element(
      'g',
      { class: significant ? 'b' : 'none' },
      element('title', {}, `${name}: ${ratio.toFixed(2)}× (${low.toFixed(2)} to ${high.toFixed(2)})${said}`),
      label(left - 8, y + 4, name, 'end'),
      line(scale(low), y, scale(high), y, 'range'),
      element('circle', { cx: scale(ratio), cy: y, r: 4.5, class: 'dot' }),
    );
  });
  return svg(title, bottom + 28, grid, line(scale(1), TOP, scale(1), bottom, 'one'), rows);
}

export interface Stack {
  name: string;
  /** Parts that are stacked; classes of the page give their colours. */
  parts: readonly { name: string; value: number; class: string }[];
}

/** Horizontal stacked bars. */
export function stackChart(
  title: string,
  stacks: readonly Stack[],
  format: (value: number) => string,
): Markup {
  const step = 34;
  const bottom = TOP + step * stacks.length;
  const total = ({ parts }: Stack) => parts.reduce((sum, { value }) => sum + value, 0);
  const left = 108;
  const scale = scaleLinear([0, Math.max(...stacks.map(total))], [left, RIGHT - 58]);
  const rows = stacks.map((stack, i) => {
    const y = TOP + step * i + 5;
    let from = 0;
    const bars = stack.parts.map(({ name, value, class: colour }) => {
      const x = scale(from);
      from += value;
      return element(
        'rect',
        { x, y, width: scale(from) - x, height: step - 12, class: colour },
        element('title', {}, `${stack.name}, ${name}: ${format(value)}`),
      );
    });
    const middle = y + (step - 12) / 2 + 4;
    return [
      label(left - 8, middle, stack.name, 'end'),
      bars,
      label(scale(from) + 5, middle, format(from), 'start'),
    ];
  });
  return svg(title, bottom + 6, line(left, TOP, left, bottom, 'base'), rows);
}

export interface Bar {
  /** Below the bar, where there is room. */
  name: string;
  title: string;
  value: number;
}

/** Names are left out where they would touch. */
const NAME_ROOM = 26;

function placeNames(
  places: { (name: string): number | undefined; bandwidth(): number },
  names: readonly string[],
) {
  const every = Math.max(1, Math.ceil((NAME_ROOM * names.length) / (RIGHT - LEFT)));
  return names
    .filter((_, i) => i % every === 0)
    .map((name) => label(places(name)! + places.bandwidth() / 2, BOTTOM + 16, name.slice(0, 5)));
}

export function barChart(title: string, bars: readonly Bar[], axis: string): Markup {
  const names = bars.map(({ name }) => name);
  const places = scaleBand(names, [LEFT, RIGHT]).padding(0.15);
  const values = scaleLinear([0, Math.max(1e-12, ...bars.map(({ value }) => value))], [BOTTOM, TOP]).nice(4);
  const drawn = bars.map(({ name, title: full, value }) =>
    element(
      'rect',
      {
        x: places(name)!,
        y: values(value),
        width: places.bandwidth(),
        height: BOTTOM - values(value),
        class: 'bar',
      },
      element('title', {}, `${full}: ${value.toPrecision(3)}`),
    ),
  );
  const grid = valueAxis(values, 4, round);
  return svg(
    title,
    HEIGHT,
    grid,
    drawn,
    placeNames(places, names),
    label((LEFT + RIGHT) / 2, HEIGHT - 4, axis),
  );
}

export interface Trace {
  name: string;
  class: string;
  values: readonly number[];
}

/** Values at the same places on a logarithmic axis; what is 0 has no place on it. */
export function traceChart(title: string, traces: readonly Trace[], names: readonly string[]): Markup {
  const all = traces.flatMap(({ values }) => values).filter((value) => value > 0);
  const places = scaleBand([...names], [LEFT, RIGHT]);
  const scale = scaleLog([Math.min(1, ...all) / 1.3, Math.max(1e-12, ...all) * 1.3], [BOTTOM, TOP]);
  const drawn = traces.map(({ name, class: colour, values }) =>
    values.map((value, i) =>
      value > 0
        ? element(
            'circle',
            { cx: places(names[i]!)! + places.bandwidth() / 2, cy: scale(value), r: 3, class: colour },
            element('title', {}, `${names[i]}, ${name}: ${value.toPrecision(3)}`),
          )
        : undefined,
    ),
  );
  return svg(
    title,
    HEIGHT,
    spacedAxis(scale),
    drawn,
    placeNames(places, names),
    label((LEFT + RIGHT) / 2, HEIGHT - 4, 'layer'),
  );
}

export interface Bin {
  from: number;
  to: number;
  count: number;
}

/** Counts on a logarithmic axis; the first bin holds all that is smaller. */
export function histogramChart(
  title: string,
  bins: readonly Bin[],
  marks: readonly { name: string; value: number }[],
): Markup {
  const first = bins[0]!;
  const scale = scaleLog([first.to / 1.26, bins.at(-1)!.to], [LEFT, RIGHT]);
  const counts = scaleLinear([0, Math.max(...bins.map(({ count }) => count))], [BOTTOM, TOP]).nice(4);
  const bars = bins.map(({ from, to, count }) => {
    const x = scale(Math.max(from, first.to / 1.26));
    return element(
      'rect',
      {
        x,
        y: counts(count),
        width: Math.max(0.5, scale(to) - x - 1),
        height: BOTTOM - counts(count),
        class: 'bar',
      },
      element('title', {}, `${count} tokens from ${from.toPrecision(2)} to ${to.toPrecision(2)}`),
    );
  });
  const decades = scale.ticks(6).filter((tick) => Number.isInteger(Math.round(Math.log10(tick) * 1e6) / 1e6));
  const names = decades.map((tick) => label(scale(tick), BOTTOM + 16, powerOfTen(tick)));
  const marked = marks
    .filter(({ value }) => value > first.to)
    .map(({ name, value }, i) => [
      line(scale(value), TOP, scale(value), BOTTOM, 'mark'),
      label(scale(value) - 4, TOP + 10 + 14 * i, name, 'end'),
    ]);
  return svg(
    title,
    HEIGHT,
    valueAxis(counts, 4, round),
    bars,
    names,
    marked,
    label((LEFT + RIGHT) / 2, HEIGHT - 4, 'KL divergence of a token, nats'),
  );
}

function powerOfTen(value: number): string {
  const digits = [...String(Math.round(Math.log10(value)))];
  const raised = digits.map((digit) => (digit === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)]));
  return `10${raised.join('')}`;
}

function round(value: number): string {
  if (value > 0 && value < 1e-3) return value.toExponential(0).replace('e-', 'e−');
  if (value >= 10_000) return `${Math.round(value / 1000)}k`;
  return String(Number(value.toPrecision(3)));
}
