// Parts 1 to 3: what the machine is and that everything loads, what its GPU does at most, the kernels' bits.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, findTorch, outerEnvironment, runProgram } from './programs.mjs';

/** Statuses that a library built on this machine may mend. */
const mendable = ['BROKEN_LIBRARY', 'OTHER_VERSION', 'WRONG_ARCHITECTURE', 'DRIVER_TOO_OLD'];

async function startsOf({ tests, measure }) {
  const list = await runProgram(tests, ['--list']);
  const kernels = list.output.split('\n').filter((line) => line.startsWith('cuda_')).length;
  const measures = await runProgram(measure, ['list']);
  return [
    { name: 'kernel tests', passed: list.status === 0 && kernels > 0, text: `${kernels} kernel tests` },
    {
      name: 'cuda_measure',
      passed: measures.status === 0,
      text: measures.output.trim().split('\n').join(' '),
    },
  ];
}

/** Builds the CUDA library here, where nvcc and cmake are. @returns its path, or why there is none */
async function buildLibrary({ app, out, left }) {
  const [nvcc, cmake] = [findProgram('nvcc'), findProgram('cmake')];
  if (!nvcc || !cmake) return { reason: 'it cannot be built here: there is no nvcc or no cmake' };
  const folder = join(out, 'cuda-build');
  mkdirSync(folder, { recursive: true });
  const env = { ...outerEnvironment(), CUDACXX: nvcc };
  const commands = [
    ['-S', join(app, 'cuda'), '-B', folder, '-DCMAKE_BUILD_TYPE=Release'],
    ['--build', folder, '--parallel'],
  ];
  for (const args of commands) {
    const { status, output } = await runProgram(cmake, args, { env, limitMs: left() });
    if (status !== 0) return { reason: `its build failed: ${output.trim().split('\n').slice(-3).join(' ')}` };
  }
  return { path: join(folder, 'kvasir_cuda.so') };
}

export async function describeDevice(setting) {
  const { app, say } = setting;
  const { native } = await import(`${app}dist/native.js`);
  const cpu = native().cpu();
  say({
    name: 'addon',
    passed: true,
    text: `loaded; ${cpu.brand}, ${cpu.cores} cores, kernels ${cpu.selected}`,
  });
  for (const result of await startsOf(setting)) say(result);
  let report = await native().cuda(true);
  if (mendable.includes(report.status)) {
    const built = await buildLibrary(setting);
    if (built.path) {
      process.env.KVASIR_CUDA_LIBRARY = built.path;
      const again = await native().cuda(true);
      if (again.status === 'OK') {
        say({ name: 'library', built: built.path, text: `built here, because: ${report.message}` });
        report = again;
      }
    } else say({ name: 'library', text: built.reason });
  }
  const opened = report.targets !== undefined;
  say({
    name: 'CUDA library',
    passed: opened,
    text: opened ? `loaded; CUDA ${report.runtimeVersion}, code for ${report.targets}` : report.message,
  });
  if (report.status !== 'OK') {
    say({ name: 'device', passed: false, stop: true, text: report.message });
    return;
  }
  const device = report.devices.find(({ problem }) => problem === undefined);
  const memory = `${(device.totalMemory / 2 ** 30).toFixed(0)} GiB`;
  say({
    ...{ name: 'device', passed: true, device, driver: report.driverVersion },
    text: `${device.name}, ${device.architecture}, ${device.multiprocessors} multiprocessors, ${memory}, driver for CUDA ${report.driverVersion}`,
  });
}

const units = {
  copy: ['GB/s read and written', 1e9],
  read: ['GB/s read', 1e9],
  int8_mma: ['tera-operations/s, mma.sync s8', 1e12],
  fp16_mma: ['tera-operations/s, mma.sync f16', 1e12],
  int8_wgmma: ['tera-operations/s, wgmma s8', 1e12],
  fp16_wgmma: ['tera-operations/s, wgmma f16', 1e12],
  int_to_float: ['giga-conversions/s, int32 to float32', 1e9],
};

export async function measureCeilings({ app, say, measure, isTiny, left }) {
  let count = 0;
  const onLine = (line) => {
    if (!line.startsWith('{')) return;
    const { ceiling, perSecond } = JSON.parse(line);
    const [unit, scale] = units[ceiling];
    const text =
      perSecond > 0 ? `${(perSecond / scale).toPrecision(4)} ${unit}` : `no ${unit.split(', ')[1]} here`;
    count += 1;
    say({ name: ceiling, perSecond, text });
  };
  const args = ['ceilings', isTiny ? '20000' : '1'];
  const { status, output } = await runProgram(measure, args, { onLine, limitMs: left() });
  say({
    name: 'own loops',
    passed: status === 0 && count > 0,
    text: status === 0 ? `${count} measured` : output.slice(-300),
  });
  await measureTorch({ app, say, left });
}

async function measureTorch({ app, say, left }) {
  const torch = await findTorch(process.env.KVASIR_KIT_TORCH);
  if (!torch.python) {
    say({ name: 'PyTorch', text: torch.reason });
    return;
  }
  const args = [join(app, 'scripts/kit/torch_beside.py'), 'peaks', process.env.KVASIR_KIT_TORCH ?? 'cuda'];
  const onLine = (line) => line.startsWith('{') && say(JSON.parse(line));
  const { status, output } = await runProgram(torch.python, args, {
    env: outerEnvironment(),
    limitMs: left(),
    onLine,
  });
  if (status !== 0) say({ name: 'PyTorch', text: `${torch.version}: ${output.slice(-200)}` });
}

export async function runKernelTests({ say, tests, isTiny, left }) {
  const filter = isTiny ? ['cuda_linear_f32'] : ['cuda_'];
  const { status, output } = await runProgram(tests, filter, { limitMs: left() });
  const counts = /^(\d+) passed, (\d+) failed$/m.exec(output);
  const passed = status === 0 && counts !== null && Number(counts[1]) > 0 && counts[2] === '0';
  say({ name: 'kernels', passed, text: counts ? counts[0] : `ended with ${status} before its last line` });
  if (!passed) process.stderr.write(output.slice(-4000));
}

/** The ceilings that an earlier part of this run measured. */
export function readCeilings(out) {
  try {
    const { parts } = JSON.parse(readFileSync(join(out, 'gpu-kit.json'), 'utf8'));
    const found = parts.find(({ name }) => name === 'ceilings')?.results ?? [];
    const rate = (name) => found.find((result) => result.name === name)?.perSecond ?? 0;
    return {
      bandwidth: Math.max(rate('copy'), rate('read')),
      int8: Math.max(rate('int8_mma'), rate('int8_wgmma')),
    };
  } catch {
    return { bandwidth: 0, int8: 0 };
  }
}
