// The runs of the comparison as a page (docs/benchmarks.md): a section for each run, the newest first; older ones stay as
// they are. Pure: reading, writing, the date and the commit are the caller's.
import { againstTitle, digits, percent, shower, targetTitle, words } from './report.mjs';

/** Sections begin after this line. */
export const marker = '<!-- Runs, newest first; npm run bench:peers -- --markdown writes here. -->';

/**
 * @param {ReturnType<typeof import('./report.mjs').describeRun>} report
 * @param {{ date: string, commit: string }} made date as YYYY-MM-DD
 */
export function sectionOf(report, { date, commit }) {
  const parts = [
    `## ${date}, ${report.model}, ${report.machine.cpu}`,
    facts(report, commit),
    limitsTable(report),
    measurementsTable(report),
    targetsTable(report),
    missingList(report),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

/** The page with the section at its place; one of the same heading is replaced. Throws where the page has no place for it. */
export function withSection(page, section) {
  const [head, ...rest] = page.split(`${marker}\n`);
  if (rest.length !== 1) throw new Error(`The page must have this line once: ${marker}`);
  const heading = section.slice(0, section.indexOf('\n'));
  const others = rest[0]
    .split(/^(?=## )/m)
    .map((one) => one.trim())
    .filter((one) => one !== '' && one.split('\n')[0] !== heading);
  return `${[`${head}${marker}`, section.trim(), ...others].join('\n\n')}\n`;
}

const escaped = (value) => String(value ?? '').replaceAll('|', '\\|');
const line = (cells) => `| ${cells.map(escaped).join(' | ')} |`;

function table(head, rows) {
  if (rows.length === 0) return '';
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

function facts({ machine, threads, rounds, seconds, loadAverage, disturbance, kvasir, node }, commit) {
  const [kernels] = Object.values(kvasir).map((one) => one?.kernels);
  const items = [
    ['commit', commit],
    ['machine', `${machine.cpu}, ${machine.cores} cores, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB`],
    ['kernels', kernels ?? 'not measured'],
    ['threads, rounds in turn', `${threads}, ${rounds}`],
    ['Node', node],
    ['duration', `${Math.round(seconds)} s`],
    ['load average before', loadAverage.before[0].toFixed(2)],
    ['of the machine had by others at the worst moment, at least', percent(disturbance)],
  ];
  return table(['fact', 'value'], items);
}

function limitsTable({ limits }) {
  const rows = Object.entries(limits).map(([kernels, { best, worst }]) => {
    const show = (name, places) =>
      `${(best[name] / 1e9).toFixed(places)} (${(worst[name] / 1e9).toFixed(places)})`;
    return [
      kernels,
      show('readBytesPerSecond', 1),
      show('int8OpsPerSecond', 0),
      show('fp32FlopsPerSecond', 0),
    ];
  });
  return table(['limits, best (worst)', 'read GB/s', 'INT8 GOPS', 'FP32 GFLOPS'], rows);
}

function measurementsTable({ measurements, singles }) {
  const row = ({ title, engine, median, least, most, unit, share }) => [
    ...[title, engine, digits(median), `${digits(least)} to ${digits(most)}`, unit],
    share === undefined ? '' : percent(share.median),
  ];
  const single = (one) => ({
    ...one,
    engine: one.name.endsWith('node-llama-cpp') ? 'node-llama-cpp-q8_0' : 'kvasir-int8',
  });
  const rows = [...measurements, ...singles.map(single)].map(row);
  return table(['work', 'engine', 'median', 'least to most', 'unit', 'share of its limit'], rows);
}

function targetsTable({ targets }) {
  const rows = targets.map((target) => {
    const show = shower(target);
    const { spread, value, atLeast, atMost, verdict, note } = target;
    return [
      ...[targetTitle(target), againstTitle(target), show(value)],
      ...[spread ? `${show(spread.low)} to ${show(spread.high)}` : '', show(atLeast ?? atMost)],
      note ? `${words[verdict]}: ${note}` : words[verdict],
    ];
  });
  return table(['target', 'against', 'measured', 'over the rounds', 'asked', 'verdict'], rows);
}

function missingList({ notMeasured }) {
  return Object.entries(notMeasured)
    .map(([name, reason]) => `- ${name} not measured: ${reason}`)
    .join('\n');
}
