// What the comparison says: tables for people, one object for programs.
import { cpus, loadavg, totalmem } from 'node:os';
import Table from 'cli-table3';
import { versions } from './install.mjs';
import { judge } from './verdicts.mjs';
import { singles, works } from './works.mjs';
import { bestOf, disturbance, worstOf } from './limits.mjs';

const noRules = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };
const plain = { style: { head: [], border: [] }, chars: noRules };
const right = (count) => ['left', 'left', ...Array(count).fill('right')];
const units = { prefill: 'tok/s', decode: 'tok/s', first: 'ms' };

/** Everything that was measured, as JSON; `loadBefore` is the machine's load average when it began. */
export function describeRun(comparison, { targets, loadBefore, seconds }) {
  const { model, threads, rounds } = comparison.options;
  const results = comparison.results();
  const shares = comparison.shareResults();
  const measured = {
    ...{ results, singles: comparison.singleResults(), missing: comparison.missing, shares },
    kernels: comparison.facts.get('kvasir-int8')?.kernels,
  };
  return {
    ...{ model, threads, rounds, seconds, versions, node: process.version },
    machine: { cpu: cpus()[0]?.model.trim(), cores: cpus().length, memoryBytes: totalmem() },
    loadAverage: { before: loadBefore, after: loadavg() },
    kvasir: Object.fromEntries(comparison.facts),
    limits: Object.fromEntries(
      [...comparison.limits].map(([kernels, all]) => [kernels, { best: bestOf(all), worst: worstOf(all) }]),
    ),
    disturbance: disturbance(comparison.limits),
    measurements: [...results].map(([key, summary]) => {
      const [work, engine] = key.split(' ');
      const { title, quantity } = works[work];
      return { work, engine, title, unit: units[quantity], share: shares.get(key), ...summary };
    }),
    singles: [...measured.singles].map(([name, summary]) => ({
      name,
      title: singles[name],
      unit: 'ms',
      ...summary,
    })),
    targets: targets.map((target) => ({ ...target, ...judge(target, measured) })),
    notMeasured: Object.fromEntries(comparison.missing),
  };
}

/** @param {ReturnType<typeof describeRun>} report */
export function layout(report) {
  return [heading(report), limits(report), measurements(report), verdicts(report), missing(report)]
    .filter((part) => part !== '')
    .join('\n\n');
}

function heading({ model, threads, rounds, seconds, machine, loadAverage }) {
  const busy = loadAverage.before[0] > 0.5 ? ' (not idle: expect noise)' : '';
  return (
    `${model}, ${threads} threads, ${rounds} rounds in turn, ${Math.round(seconds)} s; ${machine.cpu}, ` +
    `${machine.cores} cores; load average before ${loadAverage.before[0].toFixed(2)}${busy}`
  );
}

function limits({ limits: tables, disturbance: lost }) {
  const head = ['limits of the machine, best (worst)', 'read GB/s', 'INT8 GOPS', 'FP32 GFLOPS'];
  const table = new Table({ ...plain, head });
  for (const [kernels, { best, worst }] of Object.entries(tables)) {
    const show = (name, places) =>
      `${(best[name] / 1e9).toFixed(places)} (${(worst[name] / 1e9).toFixed(places)})`;
    const rates = [show('readBytesPerSecond', 1), show('int8OpsPerSecond', 0), show('fp32FlopsPerSecond', 0)];
    table.push([kernels, ...rates]);
  }
  if (table.length === 0) return '';
  const warning =
    `At the worst moment something else had at least ${percent(lost)} of the machine, so no number here is exact: engines ` +
    'whose threads wait for each other lose most by it.';
  return lost > 0.1 ? `${table}\n${warning}` : table.toString();
}

function measurements({ measurements: rows, singles: singleRows }) {
  const head = ['work', 'engine', 'median', 'least', 'most', 'unit', 'of the limit'];
  const table = new Table({ ...plain, head, colAligns: right(5) });
  const numbers = ({ median, least, most }) => [median, least, most].map(digits);
  for (const row of rows) {
    const share = row.share === undefined ? '' : percent(row.share.median);
    table.push([row.title, row.engine, ...numbers(row), row.unit, share]);
  }
  for (const row of singleRows) {
    const engine = row.name.endsWith('node-llama-cpp') ? 'node-llama-cpp-q8_0' : 'kvasir-int8';
    table.push([row.title, engine, ...numbers(row), row.unit, '']);
  }
  return table.toString();
}

export const words = { aim: 'AIM REACHED', reached: 'reached', missed: 'MISSED', open: 'open' };

function verdicts({ targets }) {
  const head = ['target', 'against', 'measured', 'over the rounds', 'at least', 'aim', 'verdict'];
  const table = new Table({ ...plain, head, colAligns: [...right(4), 'left'] });
  for (const target of targets) {
    const show = shower(target);
    const spread = target.spread ? `${show(target.spread.low)} to ${show(target.spread.high)}` : '';
    const bound = target.atLeast ?? target.atMost;
    table.push([
      ...[targetTitle(target), againstTitle(target), show(target.value), spread],
      ...[show(bound), show(target.aim), words[target.verdict]],
    ]);
  }
  const notes = targets.flatMap((target) => (target.note ? [`${targetTitle(target)}: ${target.note}`] : []));
  return [table.toString(), ...new Set(notes)].join('\n');
}

export function targetTitle({ kind, work, ours, single }) {
  if (kind === 'most') return singles[single];
  return `${works[work].title}${ours === 'kvasir-int8' ? '' : ` (${ours})`}`;
}

export function againstTitle({ kind, against, chosen }) {
  if (kind === 'most') return 'milliseconds, at most';
  if (kind === 'share') return 'read bandwidth of the machine';
  return chosen ?? against[0];
}

export function shower({ kind }) {
  if (kind === 'ratio') return (value) => (value === undefined ? '' : `${value.toFixed(2)} x`);
  if (kind === 'share') return (value) => (value === undefined ? '' : percent(value));
  return (value) => (value === undefined ? '' : digits(value));
}

function missing({ notMeasured }) {
  const lines = Object.entries(notMeasured).map(([name, reason]) => `${name} not measured: ${reason}`);
  return lines.join('\n');
}

export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** Three significant digits or whole numbers. */
export function digits(value) {
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3);
}
