// Builds the native core: the addon through cmake-js (or node-gyp where CMake is missing), and native_tests under
// sanitizers through plain CMake. Node built-ins only; node_modules must be there for the addon.
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { findTool, toolsEnv } from './build-tools.mjs';
import { run } from './command.mjs';
import { buildFraction, sayUpToDate, Step } from './progress.mjs';
import { hashInputs, listFiles, Stamp } from './stamp.mjs';
import { chooseBuilder, SetupError } from './toolchain.mjs';

const release = 'build/Release';
export const addonPath = `${release}/kvasir.node`;
export const nativeTestsPath = `${release}/native_tests`;
/** The tests of the CUDA kernels over the emulation as sm_75; native_tests has them as sm_80. */
export const sm75TestsPath = `${release}/native_tests_sm75`;
export const testingPaths = [`${release}/kvasir_testing.node`, nativeTestsPath];
/** The CUDA backend as C++ over the emulation of test/cuda_emulation. */
export const emulatedCudaPath = `${release}/kvasir_cuda_emulated.so`;

/** CMAKE_BUILD_PARALLEL_LEVEL, which cmake itself obeys, wins over one job per core. */
export function jobs(env = process.env) {
  return Number(env.CMAKE_BUILD_PARALLEL_LEVEL) || availableParallelism();
}

function packageFolder(root, name) {
  const folder = findTool(root, name);
  if (folder) return folder;
  throw new SetupError(
    `The package '${name}' is not installed: run 'npm ci' (or 'npm install') in ${root} first.`,
  );
}

function packageVersion(root, name) {
  return JSON.parse(readFileSync(join(packageFolder(root, name), 'package.json'), 'utf8')).version;
}

/**
 * Everything the addon is made from. Without `testing`, the sources that only tests compile do not count, nor do those of
 * the CUDA library, which has a build of its own.
 */
function nativeHash(root, builder, testing) {
  const skip = (name) => !testing && /^native\/(testing|backend\/cuda)\b/.test(name);
  const emulation = testing ? ['test/cuda_emulation'] : [];
  const files = listFiles(root, ['native', 'CMakeLists.txt', ...emulation], skip);
  const packages = ['cmake-js', 'node-addon-api', 'node-api-headers'];
  const versions = packages.map((name) => packageVersion(root, name));
  const { platform, arch } = process;
  // Paths are baked into the CMake cache: a moved checkout is configured afresh.
  return hashInputs(root, files, { builder, platform, arch, root, versions, cxx: process.env.CXX ?? '' });
}

/** A CMake cache of another folder or of another generator can only be thrown away. */
function dropForeignCache(root, folder, generator) {
  const cache = join(folder, 'CMakeCache.txt');
  if (!existsSync(cache)) return;
  const text = readFileSync(cache, 'utf8');
  if (
    text.includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`) &&
    text.includes(`CMAKE_GENERATOR:INTERNAL=${generator}\n`)
  ) {
    return;
  }
  rmSync(cache);
  rmSync(join(folder, 'CMakeFiles'), { recursive: true, force: true });
}

async function runStep(step, command, args, options = {}) {
  const onLine = (line) => {
    const fraction = buildFraction(line);
    if (fraction !== undefined) step.update(`${Math.round(fraction * 100)} %`);
  };
  const { status, output } = await run(command, args, { onLine, ...options });
  if (status === 0) return;
  step.fail();
  throw new SetupError(`${output.trimEnd()}\n\nThe native build failed: ${[command, ...args].join(' ')}`);
}

export function generatorOf(make) {
  return make.endsWith('ninja') ? 'Ninja' : 'Unix Makefiles';
}

async function buildWithCmake(root, step, make, testing) {
  const cmakeJs = [
    join(packageFolder(root, 'cmake-js'), 'bin', 'cmake-js'),
    '--log-level',
    'error',
    '--directory',
    root,
  ];
  // cmake-js looks for node-addon-api in the package's own dependencies alone.
  const includes = [
    join(packageFolder(root, 'node-api-headers'), 'include'),
    packageFolder(root, 'node-addon-api'),
  ].join(';');
  dropForeignCache(root, join(root, 'build'), generatorOf(make));
  await runStep(
    step,
    process.execPath,
    [...cmakeJs, 'configure', `--CDKVASIR_TESTING=${testing ? 'ON' : 'OFF'}`, `--CDCMAKE_JS_INC=${includes}`],
    {
      cwd: root,
    },
  );
  const target = testing ? [] : ['--target', 'kvasir'];
  await runStep(step, process.execPath, [...cmakeJs, 'build', '--parallel', `${jobs()}`, ...target], {
    cwd: root,
  });
}

async function buildWithGyp(root, step, { nodeGyp, nodedir }) {
  const gyp = [nodeGyp, '--directory', root, `--nodedir=${nodedir}`];
  const options = { cwd: root, env: toolsEnv(root) };
  // Not kept there: npm would take it for an install script of the package.
  const list = join(root, 'binding.gyp');
  copyFileSync(join(root, 'native', 'binding.gyp'), list);
  try {
    await runStep(step, process.execPath, [...gyp, 'configure'], options);
    await runStep(step, process.execPath, [...gyp, 'build', `--jobs=${jobs()}`], options);
  } finally {
    rmSync(list);
  }
}

/**
 * Builds build/Release/kvasir.node when its inputs changed since the last time.
 * @param {{ testing?: boolean }} options `testing`: the testing addon and native_tests too (CMake only)
 * @throws {SetupError} with the compiler's own output, or naming what the machine lacks
 */
export async function buildAddon(root, { testing = false } = {}) {
  const choice = chooseBuilder(root);
  if (testing && choice.builder !== 'cmake') {
    throw new SetupError('The tests need CMake: sudo apt-get install -y cmake');
  }
  const how = choice.builder === 'cmake' ? 'cmake-js' : 'node-gyp';
  const title = `${testing ? 'native core and its tests' : 'native core'} (${how})`;
  const products = testing ? [addonPath, ...testingPaths] : [addonPath];
  const stamp = new Stamp(root, testing ? 'native-testing' : 'native', products);
  const hash = nativeHash(root, choice.builder, testing);
  if (stamp.isCurrent(hash)) {
    sayUpToDate(title);
    return;
  }
  const step = new Step(title);
  stamp.clear();
  if (choice.builder === 'cmake') await buildWithCmake(root, step, choice.make, testing);
  else await buildWithGyp(root, step, choice);
  for (const product of products) {
    if (existsSync(join(root, product))) continue;
    step.fail();
    throw new SetupError(`The native build ended without an error, but ${product} is not there.`);
  }
  stamp.write(hash);
  // The addon of `npm test` is that of `npm start`, with one export more (`liveBytes`): it may stand in for it.
  if (testing) new Stamp(root, 'native', [addonPath]).write(nativeHash(root, choice.builder, false));
  step.done();
}

/**
 * Builds native_tests_sm75 beside native_tests, whose objects it shares.
 * @returns {Promise<string>} the executable
 */
export async function buildSm75Tests(root) {
  const step = new Step('native_tests for sm_75');
  const args = ['--build', join(root, 'build'), '--target', 'native_tests_sm75', '--parallel', `${jobs()}`];
  await runStep(step, 'cmake', args);
  step.done();
  return join(root, sm75TestsPath);
}

/**
 * Builds native_tests under sanitizers (incrementally, in build/<name>).
 * @param {string} name folder below build/
 * @param {{ sanitize: string, tables: string[], emulation: boolean }} options CMake's KVASIR_SANITIZE, _TABLES, _EMULATION
 * @returns {Promise<string>} the executable
 */
export async function buildSanitized(root, name, { sanitize, tables, emulation }) {
  const choice = chooseBuilder(root);
  if (choice.builder !== 'cmake')
    throw new SetupError('The sanitizers need CMake: sudo apt-get install -y cmake');
  const folder = join(root, 'build', name);
  const step = new Step(`native_tests with -fsanitize=${sanitize}`);
  const generator = generatorOf(choice.make);
  dropForeignCache(root, folder, generator);
  const settings = [
    '-DKVASIR_NATIVE_TESTS_ONLY=ON',
    `-DKVASIR_SANITIZE=${sanitize}`,
    `-DKVASIR_TABLES=${tables.join(';')}`,
    `-DKVASIR_EMULATION=${emulation ? 'ON' : 'OFF'}`,
  ];
  await runStep(step, 'cmake', ['-S', root, '-B', folder, '-G', generator, ...settings]);
  await runStep(step, 'cmake', ['--build', folder, '--target', 'native_tests', '--parallel', `${jobs()}`]);
  step.done();
  return join(folder, 'native_tests');
}

/** The folder of the CUDA toolkit that a compiler belongs to, which may be reached through a link or a script. */
async function toolkitOf(nvcc) {
  const { output } = await run(nvcc, ['--dryrun', '-x', 'cu', '-c', '/dev/null', '-o', '/dev/null']);
  const top = /^#\$ TOP=(.*)$/m.exec(output)?.[1];
  if (!top) throw new SetupError(`${nvcc} does not say where its toolkit is.`);
  return resolve(top);
}

/**
 * Builds programs for a real device beside native_tests, whose objects they share, from the CUDA library's own objects.
 * @param {{ nvcc: string, objects: { path: string, object: string }[] }} manifest of the library
 * @param {string} ceilings the object of testing/cuda_ceilings.cu; '' where cuda_measure is not wanted
 * @param {string[]} targets of CMakeLists.txt
 * @returns {Promise<Record<string, string>>} target -> file
 */
export async function buildGpuPrograms(root, { nvcc, objects }, ceilings, targets) {
  const choice = chooseBuilder(root);
  if (choice.builder !== 'cmake') throw new SetupError('The tests need CMake: sudo apt-get install -y cmake');
  const step = new Step('programs for the GPU');
  // What core and library share is in the core already.
  const own = objects.filter(({ path }) => path.startsWith('backend/cuda/')).map(({ object }) => object);
  const folder = join(root, 'build');
  const settings = [
    `-DKVASIR_CUDA_OBJECTS=${own.join(';')}`,
    `-DKVASIR_MEASURE_OBJECT=${ceilings}`,
    `-DKVASIR_CUDA_ROOT=${await toolkitOf(nvcc)}`,
  ];
  await runStep(step, 'cmake', ['-S', root, '-B', folder, ...settings]);
  await runStep(step, 'cmake', ['--build', folder, '--parallel', `${jobs()}`, '--target', ...targets]);
  step.done();
  const fileOf = (target) => join(root, release, target === 'kvasir_portable' ? `${target}.node` : target);
  return Object.fromEntries(targets.map((target) => [target, fileOf(target)]));
}
