// `npm test`: the set-up, then every check that a change must pass, stage after stage; the last line is their sum.
//   npm test -- --only vitest,layers     some stages
//   npm test -- test/cli -t 'Ctrl-C'     vitest alone, with its own filters
// `npm run test:nightly` (--nightly): what takes longer too. It sets KVASIR_NIGHTLY=1, by which tests run whole sweeps
// instead of samples (test/nightly.ts) and vitest.config.ts adds test/measured/ and *.nightly.test.ts; it compiles CUDA
// for every architecture, all kernel tables and the emulated CUDA under sanitizers, and fails where anything was skipped that
// a machine can have.
// Node built-ins only: this runs before `npm ci`.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Interrupted, isMain, run, runMain } from './command.mjs';
import { buildSanitized, buildSm75Tests, nativeTestsPath } from './native-build.mjs';
import { installDependencies, projectRoot, setup } from './setup.mjs';
import { checkLayers } from './check-layers.mjs';
import { listFiles } from './stamp.mjs';
import { findClangFormat, findNvcc, hasGpu, SetupError } from './toolchain.mjs';

const root = projectRoot;
const say = (text) => process.stdout.write(`${text}\n`);
const isNightly = () => process.env.KVASIR_NIGHTLY === '1';
const none = { passed: 0, failed: 0, skipped: 0 };

/** The counts in the last `N passed, N failed[, N skipped]` line of an output, or undefined. */
export function parseCounts(output) {
  const matches = [...output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)];
  const last = matches.at(-1);
  return last && { passed: Number(last[1]), failed: Number(last[2]), skipped: Number(last[3] ?? 0) };
}

/** A crash, or a run that tested nothing, must not look like success. */
export function judge({ status, counts }) {
  if (!counts || counts.passed + counts.failed === 0) return { ...none, failed: 1 };
  return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** One check that passes when the command does; its output is shown when it fails. */
async function check(command, args, options = {}) {
  const { status, output } = await run(command, args, { cwd: root, ...options });
  if (status !== 0) say(output.trimEnd());
  return status === 0 ? { ...none, passed: 1 } : { ...none, failed: 1 };
}

const nodeTool = (...path) => join(root, 'node_modules', ...path);

function checkClangFormat() {
  const files = listFiles(root, ['native', 'test/cuda_emulation']).filter((name) =>
    /\.(cc|h|cu|cuh)$/.test(name),
  );
  return check(findClangFormat(root), ['--dry-run', '-Werror', ...files]);
}

/** Of the package and its tests, and of what runs in a browser. */
async function checkTypes(tsc) {
  const browser = [join('lib', 'trace-page', 'browser', 'tsconfig.json'), join('web', 'tsconfig.json')];
  const sum = { ...none };
  for (const project of ['tsconfig.json', ...browser]) {
    const { passed, failed } = await check(process.execPath, [
      tsc,
      '--noEmit',
      '--pretty',
      'false',
      '-p',
      project,
    ]);
    sum.passed += passed;
    sum.failed += failed;
  }
  return sum;
}

/** The rooms of native/ and the sizes of all; the layers of lib/ by dependency-cruiser. */
async function checkRooms() {
  const violations = checkLayers(root);
  for (const violation of violations) say(violation);
  const cruise = nodeTool('dependency-cruiser', 'bin', 'dependency-cruise.mjs');
  const lib = await check(process.execPath, [cruise, '--config', '.dependency-cruiser.mjs', 'lib']);
  const failed = lib.failed + (violations.length > 0 ? 1 : 0);
  return { ...none, passed: 2 - failed, failed };
}

/** What native tests say that they left out: each reason once. No set-up gives a processor more instructions. */
export function skipsOf(output) {
  const reasons = [...output.matchAll(/^skipped in \w+: (.*)$/gm)].map(([, reason]) => reason);
  const mendable = reasons.filter((reason) => !/^this CPU cannot run the kernels/.test(reason));
  return { reasons: [...new Set(reasons)], count: mendable.length };
}

async function runShare(executable, share, env) {
  const options = { cwd: root, env: { ...process.env, ...env } };
  const args = ['--share', share];
  let result = await run(executable, args, options);
  // ThreadSanitizer of older compilers cannot live with the address randomisation of newer kernels.
  if (/ThreadSanitizer: unexpected memory mapping/.test(result.output)) {
    result = await run('setarch', ['-R', executable, ...args], options);
  }
  const counts = judge({ status: result.status, counts: parseCounts(result.output) });
  if (counts.failed > 0) say(`${result.output.trimEnd()}\n(exit status ${result.status})`);
  return { ...counts, output: result.output };
}

/** Most tests compute on one thread: a process for each core, up to four. */
async function runNativeTests(executable, env = {}) {
  const n = Math.min(4, availableParallelism());
  const shares = Array.from({ length: n }, (_, i) => runShare(executable, `${i + 1}/${n}`, env));
  const results = await Promise.all(shares);
  const skips = skipsOf(results.map(({ output }) => output).join('\n'));
  for (const reason of skips.reasons) say(`skipped: ${reason}`);
  const sum = { ...none, skipped: skips.count };
  for (const { passed, failed } of results) {
    sum.passed += passed;
    sum.failed += failed;
  }
  return sum;
}

async function runSanitized(name, sanitize) {
  const env = {
    ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1',
  };
  // Kernel tables have no state, and are instances of one body: two of them show what a sanitizer can see. The emulation
  // of CUDA finds itself what is read or written outside a kernel's memory.
  const parts = isNightly()
    ? { tables: [], emulation: true }
    : { tables: ['scalar', 'avx2'], emulation: false };
  return runNativeTests(await buildSanitized(root, name, { sanitize, ...parts }), env);
}

/** The real-model tests find the models in the cache; where one cannot be had they skip themselves by name. */
async function pullModels() {
  const command = join(root, 'dist', 'cli', 'main.js');
  let done = none;
  for (const name of ['smollm2-135m', 'minilm-l6-v2']) {
    if (!existsSync(command)) {
      say(`There is no command line yet: ${name} is not fetched.`);
      done = { ...done, skipped: done.skipped + 1 };
      continue;
    }
    const { status, output } = await run(process.execPath, [command, 'pull', name], { cwd: root });
    if (status === 0) {
      done = { ...done, passed: done.passed + 1 };
      continue;
    }
    say(`${output.trimEnd()}\n${name} cannot be fetched: its tests are skipped.`);
    done = { ...done, skipped: done.skipped + 1 };
  }
  return done;
}

async function runVitest(filters) {
  const report = join(root, 'build', 'vitest.json');
  rmSync(report, { force: true });
  const args = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...filters];
  const { status } = await run(process.execPath, [nodeTool('vitest', 'vitest.mjs'), ...args], {
    cwd: root,
    show: true,
  });
  if (!existsSync(report)) return judge({ status });
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  const counts = { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests };
  return judge({ status, counts });
}

function makeStages(filters) {
  const tsc = nodeTool('typescript', 'bin', 'tsc');
  const biome = nodeTool('@biomejs', 'biome', 'bin', 'biome');
  return {
    types: () => checkTypes(tsc),
    biome: () => check(process.execPath, [biome, 'ci', '--colors=off']),
    'clang-format': checkClangFormat,
    layers: checkRooms,
    native: () => runNativeTests(join(root, nativeTestsPath)),
    ...(isNightly() && { sm75: async () => runNativeTests(await buildSm75Tests(root)) }),
    asan: () => runSanitized('asan', 'address,undefined'),
    tsan: () => runSanitized('tsan', 'thread'),
    model: pullModels,
    vitest: () => runVitest(filters),
  };
}

/**
 * Without a GPU, `npm test` compiles CUDA for one architecture, whose machine code is read; nightly for all. What the
 * user asks for stays.
 */
export function cudaFor(env, { nightly, gpu, nvcc }) {
  if (env.KVASIR_CUDA || env.KVASIR_CUDA_ARCHS) return {};
  if (nightly) return { KVASIR_CUDA: 'on' };
  return nvcc && !gpu ? { KVASIR_CUDA_ARCHS: '90' } : {};
}

/** @returns {{ only?: string[], filters: string[] }} filters are vitest's, and stand for vitest alone */
export function parseArguments(args) {
  const filters = [...args];
  const at = filters.findIndex((arg) => arg === '--only' || arg.startsWith('--only='));
  if (at < 0) return { only: filters.length > 0 ? ['vitest'] : undefined, filters };
  const [flag, next] = filters.splice(at, filters[at] === '--only' ? 2 : 1);
  const names = flag === '--only' ? next : flag.slice('--only='.length);
  if (!names) throw new SetupError('--only wants the names of stages, such as --only vitest,layers');
  return { only: names.split(','), filters };
}

// These need no build.
const staticStages = ['types', 'biome', 'clang-format', 'layers'];

async function prepare(chosen) {
  try {
    if (chosen.every((name) => staticStages.includes(name))) await installDependencies(root);
    else await setup({ testing: true });
    return true;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`${error.message}\n\n0 passed, 1 failed`);
    return false;
  }
}

async function runStage(name, stage) {
  const started = performance.now();
  say(`\n== ${name}`);
  let counts;
  try {
    counts = await stage();
  } catch (error) {
    if (error instanceof Interrupted) throw error;
    say(error instanceof SetupError ? error.message : error.stack);
    counts = { ...none, failed: 1 };
  }
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  say(`-- ${name}: ${counts.passed} passed, ${counts.failed} failed${skipped} (${seconds} s)`);
  return counts;
}

async function main() {
  const args = process.argv.slice(2);
  if (args.includes('--nightly')) process.env.KVASIR_NIGHTLY = '1';
  const { only, filters } = parseArguments(args.filter((arg) => arg !== '--nightly'));
  const machine = { nightly: isNightly(), gpu: hasGpu(), nvcc: findNvcc() !== undefined };
  Object.assign(process.env, cudaFor(process.env, machine));
  const stages = makeStages(filters);
  const chosen = only ?? Object.keys(stages);
  const unknown = chosen.find((name) => !(name in stages));
  if (unknown) throw new SetupError(`No stage '${unknown}'; there are: ${Object.keys(stages).join(', ')}`);
  if (!(await prepare(chosen))) return 1;
  const sum = { ...none };
  for (const name of chosen) {
    const counts = await runStage(name, stages[name]);
    for (const key of Object.keys(sum)) sum[key] += counts[key];
  }
  const skipped = sum.skipped > 0 ? `, ${sum.skipped} skipped` : '';
  if (isNightly() && sum.skipped > 0) {
    say('\nNothing may be skipped nightly: the stages above say what was.');
    sum.failed += 1;
  }
  say(`\n${sum.passed} passed, ${sum.failed} failed${skipped}`);
  return sum.failed > 0 || sum.passed === 0 ? 1 : 0;
}

if (isMain(import.meta.url)) await runMain(main);
