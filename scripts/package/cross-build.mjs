// Cross-compiles the addon for one target: CMakeLists.txt with Zig as its compiler, so that sources, kernel tables and flags
// are those of a checkout's own build. Incremental, in build/package/<target>.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findTool } from '../build-tools.mjs';
import { run } from '../command.mjs';
import { jobs } from '../native-build.mjs';
import { buildFraction, Step } from '../progress.mjs';
import { findProgram, SetupError } from '../toolchain.mjs';
import { targetNamed } from './targets.mjs';
import { writeWrapper } from './zig.mjs';

const folderOf = (root, target) => join(root, 'build', 'package', target.name);

function headers(root) {
  const [api, cpp] = ['node-api-headers', 'node-addon-api'].map((name) => findTool(root, name));
  return { include: [join(api, 'include'), cpp].join(';'), definition: join(api, 'def', 'node_api.def') };
}

/** Windows finds Node's functions through an import library, which Zig makes of the list of their names. */
async function makeNodeLibrary(folder, zig, definition) {
  const library = join(folder, 'node.lib');
  const args = ['dlltool', '-m', 'i386:x86-64', '-D', 'node.exe', '-d', definition, '-l', library];
  const { status, output } = await run(zig.program, args, { env: zig.env });
  if (status !== 0) throw new SetupError(`${output.trimEnd()}\n\n${library} could not be made.`);
  return library;
}

/** The objects of the kernel tables that a build has made. */
function kernelObjects(root, target) {
  const folder = join(folderOf(root, target), 'CMakeFiles/kvasir_core.dir/native/backend/cpu');
  const names = readdirSync(folder).filter((name) => /^kernels_\w+\.cc\.o$/.test(name));
  if (names.length === 0) throw new SetupError(`There are no kernel tables in ${folder}.`);
  return names.sort().map((name) => join(folder, name));
}

async function settings(root, target, zig) {
  const folder = folderOf(root, target);
  const { include, definition } = headers(root);
  const compiler = writeWrapper(join(folder, 'zig-c++'), zig.program, `c++ -target ${target.zig}`);
  const windows = target.os === 'win32';
  const kernels = target.kernelsOf ? kernelObjects(root, targetNamed(target.kernelsOf)) : [];
  const values = {
    ...target.cmake,
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_CXX_COMPILER: compiler,
    // Zig keeps what it has compiled.
    CMAKE_CXX_COMPILER_LAUNCHER: '',
    // Neither the debug information nor the frame pointer that Zig has by default, which costs kernels a register; and no
    // path of this machine in what is published. CMake's own probes are optimized too, or Zig would compile its C++ library
    // twice.
    CMAKE_CXX_FLAGS: `-O3 -s -fomit-frame-pointer -ffile-prefix-map=${root}=.`,
    CMAKE_SHARED_LINKER_FLAGS: target.linkFlags ?? '',
    CMAKE_LIBRARY_OUTPUT_DIRECTORY: join(folder, 'out'),
    CMAKE_RUNTIME_OUTPUT_DIRECTORY: join(folder, 'out'),
    CMAKE_JS_INC: include,
    CMAKE_JS_LIB: windows ? await makeNodeLibrary(folder, zig, definition) : '',
    KVASIR_EMULATION: 'OFF',
    KVASIR_KERNEL_OBJECTS: kernels.join(';'),
    ...(windows && { CMAKE_RC_COMPILER: writeWrapper(join(folder, 'zig-rc'), zig.program, 'rc') }),
  };
  return Object.entries(values).map(([name, value]) => `-D${name}=${value}`);
}

/** Runs CMake for a step, which shows how far it is. */
async function cmake(args, { zig, step, target }) {
  const onLine = (line) => {
    const fraction = buildFraction(line);
    if (fraction !== undefined) step.update(`${Math.round(fraction * 100)} %`);
  };
  const { status, output } = await run('cmake', args, { env: zig.env, onLine });
  if (status === 0) return;
  step.fail();
  throw new SetupError(`${output.trimEnd()}\n\nThe addon for ${target.name} could not be built.`);
}

/**
 * @param {string} root of the checkout
 * @param {import('./targets.mjs').targets[number]} target
 * @returns {Promise<string>} the addon
 */
export async function crossBuild(root, target, zig) {
  if (!findProgram('cmake') || !findProgram('ninja')) {
    throw new SetupError('The packages need CMake and Ninja: sudo apt-get install -y cmake ninja-build');
  }
  if (target.kernelsOf) await crossBuild(root, targetNamed(target.kernelsOf), zig);
  const folder = folderOf(root, target);
  mkdirSync(folder, { recursive: true });
  const options = await settings(root, target, zig);
  const step = new Step(`addon for ${target.name}`);
  await cmake(['-S', root, '-B', folder, '-G', 'Ninja', ...options], { zig, step, target });
  const build = ['--build', folder, '--target', 'kvasir', '--parallel', `${jobs()}`];
  await cmake(build, { zig, step, target });
  const addon = join(folder, 'out', 'kvasir.node');
  if (!existsSync(addon)) {
    step.fail();
    throw new SetupError(`The build ended without an error, but ${addon} is not there.`);
  }
  step.done();
  return addon;
}
