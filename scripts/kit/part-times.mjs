// Part 7: the time of each kernel of a layer, and NVIDIA's own tools on a model of one layer where they are there.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCeilings } from './part-device.mjs';
import { findProgram, runProgram } from './programs.mjs';
import { floorOf } from './steps.mjs';

const oneLayer = fileURLToPath(new URL('one-layer.mjs', import.meta.url));

async function timeKernels({ say, measure, left, out }, shape) {
  const ceilings = readCeilings(out);
  let count = 0;
  const onLine = (line) => {
    if (!line.startsWith('{')) return;
    const { kernel, rows, microseconds, bytes, operations } = JSON.parse(line);
    const floor = floorOf({ bytes, operations }, ceilings);
    const share = floor ? `, ${((1e8 * floor.seconds) / microseconds).toFixed(1)} % of ${floor.of}` : '';
    count += 1;
    say({
      name: `${shape}: ${kernel}, rows ${rows}`,
      microseconds,
      text: `${microseconds.toFixed(1)} us${share}`,
    });
  };
  const { status, output } = await runProgram(measure, ['kernels', shape], { onLine, limitMs: left() });
  const passed = status === 0 && count > 0;
  say({
    name: `kernels of the ${shape} shape`,
    passed,
    text: passed ? `${count} measured` : output.slice(-300),
  });
}

async function runTool({ say, left, out }, name, args, judge) {
  const tool = findProgram(name);
  if (!tool) {
    say({ name, text: 'it is not on this machine' });
    return;
  }
  const { status, output } = await runProgram(tool, [...args, process.execPath, oneLayer], {
    limitMs: left(),
  });
  writeFileSync(join(out, `${name}.txt`), output);
  say({ name, ...judge(status, output), output: `${name}.txt` });
}

export async function measureTimes(setting) {
  for (const shape of setting.isTiny ? ['tiny'] : ['1b', '8b']) await timeKernels(setting, shape);
  await runTool(
    setting,
    'compute-sanitizer',
    ['--tool', 'memcheck', '--error-exitcode', '9'],
    (status, output) => ({
      passed: status === 0,
      text: /ERROR SUMMARY: .*/.exec(output)?.[0] ?? `ended with ${status}`,
    }),
  );
  const ncu = ['--set', 'basic', '--launch-count', '40', '--csv'];
  await runTool(setting, 'ncu', ncu, (status) => ({ text: `ended with ${status}` }));
}
