// A check for a build: INT8 may cost this model no more than a bound, else the status is 1. Leaves a page with charts.
//   node examples/compare-in-ci/check.mjs [model] [largest mean KL] [page.html]
import { writeFile } from 'node:fs/promises';
import { compare, comparisonPage } from 'kvasir';

const [model = 'smollm2-135m', bound = '0.01', page = 'int8.html'] = process.argv.slice(2);
const quick = { latency: false, layers: false, memory: false, windows: 4 };
const report = await compare(model, { ...quick, maxKl: Number(bound) });
await writeFile(page, await comparisonPage(report));
const { meanKl, sameTop1, rows } = report.quality;
console.log(`mean KL ${meanKl.toFixed(4)}, same best token ${(100 * sameTop1).toFixed(1)} % of ${rows}; see ${page}`);
for (const { name, passed, reason } of report.checks) if (!passed) console.error(`${name}: ${reason}`);
process.exitCode = report.checks.every(({ passed }) => passed) ? 0 : 1;
