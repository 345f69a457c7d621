// Builds the kernel tables of AArch64 and their tests with Debian's cross compiler and runs them in QEMU's user mode, on a
// processor for each table: `node scripts/arm.mjs [parts of names]`. It ends with `N passed, N failed`. What it shows of
// speed is QEMU's.
import { join } from 'node:path';
import { isMain, run, runMain } from './command.mjs';
import { generatorOf, jobs } from './native-build.mjs';
import { buildFraction, Step } from './progress.mjs';
import { projectRoot } from './setup.mjs';
import { chooseBuilder, findProgram, SetupError } from './toolchain.mjs';

const say = (text) => process.stdout.write(`${text}\n`);

/**
 * QEMU's processors and the best table that each can run; an instruction of a better one would end the process. The last one
 * runs all tables, and so all tests; the others the parts of names given here.
 */
export const processors = [
  { cpu: 'cortex-a72', table: 'neon', parts: ['kernel_linear_rows', 'kernel_dot', 'kernel_select'] },
  { cpu: 'neoverse-n1', table: 'neon_dotprod', parts: ['kernel_linear_rows', 'kernel_select'] },
  { cpu: 'max', table: 'neon_i8mm', parts: [] },
];

/** @returns {{ compiler: string, qemu: string } | undefined} undefined where either is missing */
export function findArmTools(env = process.env) {
  const compiler = findProgram('aarch64-linux-gnu-g++', env);
  const qemu = findProgram('qemu-aarch64-static', env) ?? findProgram('qemu-aarch64', env);
  return compiler && qemu ? { compiler, qemu } : undefined;
}

async function must(step, args) {
  const onLine = (line) => {
    const fraction = buildFraction(line);
    if (fraction !== undefined) step.update(`${Math.round(fraction * 100)} %`);
  };
  const { status, output } = await run('cmake', args, { onLine });
  if (status === 0) return;
  step.fail();
  throw new SetupError(`${output.trimEnd()}\n\nThis failed: ${['cmake', ...args].join(' ')}`);
}

/** @returns {Promise<string>} the executable */
async function buildTests(root, compiler) {
  const target = 'native_tests_kernels';
  const step = new Step(`${target} for AArch64`);
  const folder = join(root, 'build/arm');
  const settings = [
    '-DCMAKE_SYSTEM_NAME=Linux',
    '-DCMAKE_SYSTEM_PROCESSOR=aarch64',
    `-DCMAKE_CXX_COMPILER=${compiler}`,
    // QEMU then needs no libraries of that architecture.
    '-DCMAKE_EXE_LINKER_FLAGS=-static',
    '-DKVASIR_NATIVE_TESTS_ONLY=ON',
    '-DKVASIR_EMULATION=OFF',
  ];
  await must(step, ['-S', root, '-B', folder, '-G', generatorOf(chooseBuilder(root).make), ...settings]);
  await must(step, ['--build', folder, '--target', target, '--parallel', `${jobs()}`]);
  step.done();
  return join(folder, target);
}

async function main() {
  const names = process.argv.slice(2);
  const tools = findArmTools();
  if (!tools) {
    throw new SetupError(
      'This needs a compiler for AArch64 and QEMU: sudo apt-get install -y g++-aarch64-linux-gnu qemu-user-static',
    );
  }
  const executable = await buildTests(projectRoot, tools.compiler);
  let passed = 0;
  let failed = 0;
  for (const { cpu, table, parts } of processors) {
    const wanted = names.length > 0 ? names : parts;
    const { status, output } = await run(tools.qemu, ['-cpu', cpu, executable, ...wanted]);
    const [, good, bad] = /^(\d+) passed, (\d+) failed$/m.exec(output) ?? [];
    if (status !== 0) say(output.trimEnd());
    say(`${cpu} (${table}): ${good ?? 0} passed, ${bad ?? 1} failed`);
    passed += Number(good ?? 0);
    failed += Math.max(Number(bad ?? 1), status === 0 ? 0 : 1);
  }
  say(`\n${passed} passed, ${failed} failed`);
  return failed > 0 || passed === 0 ? 1 : 0;
}

if (isMain(import.meta.url)) await runMain(main);
