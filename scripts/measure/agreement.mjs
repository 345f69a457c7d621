// Whether `kvasir compare` and `kvasir bench` tell the same: node scripts/measure/agreement.mjs [model] [pairs] [repetitions]
// `bench` runs alone, once for each dtype, in processes of their own: half of the pairs before one default run of
// `compare`, half after it, fp32 first in every other pair. A pair gives one ratio; their geometric mean has a 95 %
// interval by Student's t. Prints one JSON object.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const studentT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201];
const [model = 'smollm2-135m', pairs = '8', repetitions = '7'] = process.argv.slice(2);
const count = Number(pairs);
if (!(count >= 2 && count <= studentT.length + 1)) throw new Error('pairs: 2 to 12');

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const kvasir = (...args) =>
  JSON.parse(
    execFileSync(process.execPath, [main, ...args, model, '--json'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 2 ** 28,
    }),
  );

function benchPair(index) {
  const order = index % 2 === 0 ? ['fp32', 'int8'] : ['int8', 'fp32'];
  const reports = {};
  for (const dtype of order) reports[dtype] = kvasir('bench', '--dtype', dtype, '-r', repetitions);
  const ratio = (kind) => reports.int8[kind].tokensPerSecond / reports.fp32[kind].tokensPerSecond;
  return { prefill: ratio('prefill'), decode: ratio('decode') };
}

function interval(ratios) {
  const logs = ratios.map(Math.log);
  const mean = logs.reduce((sum, x) => sum + x, 0) / logs.length;
  const variance = logs.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (logs.length - 1);
  const reach = studentT[logs.length - 2] * Math.sqrt(variance / logs.length);
  return { ratio: Math.exp(mean), low: Math.exp(mean - reach), high: Math.exp(mean + reach) };
}

const benches = [];
const started = performance.now();
for (let i = 0; i < count >> 1; i++) benches.push(benchPair(i));
const { speedup } = kvasir('compare');
for (let i = count >> 1; i < count; i++) benches.push(benchPair(i));

const report = { model, seconds: 0 };
for (const kind of ['prefill', 'decode']) {
  const bench = { ...interval(benches.map((pair) => pair[kind])), pairs: benches.map((pair) => pair[kind]) };
  const { ratio, low, high, quads, endedBy, promptTokens } = speedup[kind];
  report[kind] = {
    compare: { ratio, low, high, quads, endedBy, promptTokens },
    bench,
    benchInsideCompare: bench.ratio >= low && bench.ratio <= high,
    intervalsMeet: bench.low <= high && low <= bench.high,
  };
}
report.seconds = Math.round((performance.now() - started) / 1000);
console.log(JSON.stringify(report, null, 2));
