// Finds the system's compilers and build tools, and says in one message which Debian packages are missing.
// Node built-ins only: this runs before `npm ci`.
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join, resolve } from 'node:path';

/** A problem of the machine that the user can mend: shown as a message, without a stack. */
export class SetupError extends Error {
  constructor(message) {
    super(message);
    this.name = 'SetupError';
  }
}

/** The full path of a program on PATH, or undefined. */
export function findProgram(name, env = process.env) {
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

function findFirst(names, env) {
  return names.map((name) => findProgram(name, env)).find((path) => path !== undefined);
}

/**
 * The folder whose include/node holds the headers of the running Node (node-gyp's `--nodedir`), or undefined:
 * the one in npm's `nodedir` setting, or beside the executable. Those of another Node would be a guess.
 */
export function findNodeHeaders(execPath = process.execPath, env = process.env) {
  const beside = resolve(dirname(execPath), '..');
  const candidates = [env.npm_config_nodedir, beside].filter(Boolean);
  return candidates.find((folder) => existsSync(join(folder, 'include', 'node', 'node_api.h')));
}

/** node-gyp of this project, of the npm that runs this script, or of the npm beside the running Node. */
export function findNodeGyp(root, env = process.env, execPath = process.execPath) {
  const candidates = [
    join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'),
    env.npm_config_node_gyp,
    resolve(dirname(execPath), '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
    resolve(dirname(execPath), '../share/nodejs/node-gyp/bin/node-gyp.js'),
  ];
  return candidates.find((path) => path && existsSync(path));
}

const advice = 'Install what is missing and run the same command again.';

function missingMessage(what, packages) {
  return [
    `Kvasir compiles its native core on this machine, and cannot: ${what.join('; ')}.`,
    `  Debian, Ubuntu:  sudo apt-get install -y ${packages.join(' ')}`,
    `  Elsewhere: the packages with the same programs. ${advice}`,
  ].join('\n');
}

/**
 * Decides how the addon is built: `cmake` where CMake and a build tool are there, else `gyp`.
 * @returns {{ builder: 'cmake', make: string } | { builder: 'gyp', nodeGyp: string, nodedir: string }}
 * @throws {SetupError} naming every missing package at once
 */
export function chooseBuilder(root, env = process.env, execPath = process.execPath) {
  const compiler = findFirst(['g++', 'c++', 'clang++'], env) ?? (env.CXX && findProgram(env.CXX, env));
  const make = findFirst(['ninja', 'make'], env);
  const cmake = findProgram('cmake', env);
  if (compiler && make && cmake) return { builder: 'cmake', make };

  const what = [];
  const packages = [];
  const missing = (text, name) => {
    what.push(text);
    packages.push(name);
  };
  if (!compiler) missing('there is no C++ compiler (g++ or clang++)', 'g++');
  if (!cmake) missing('there is no cmake', 'cmake');
  if (!make) missing('there is neither ninja nor make', 'ninja-build');
  if (!compiler || cmake) throw new SetupError(missingMessage(what, packages));

  const nodeGyp = findNodeGyp(root, env, execPath);
  const nodedir = findNodeHeaders(execPath, env);
  if (nodeGyp && nodedir && findProgram('make', env) && findFirst(['python3', 'python'], env)) {
    return { builder: 'gyp', nodeGyp, nodedir };
  }
  const lacks = [];
  if (!nodeGyp) lacks.push('node-gyp');
  if (!nodedir) lacks.push(`the headers of this Node (include/node/node_api.h beside ${execPath})`);
  if (!findProgram('make', env)) lacks.push('make');
  if (!findFirst(['python3', 'python'], env)) lacks.push('python3');
  what.push(`the fallback, node-gyp, does not work either without ${lacks.join(', ')}`);
  throw new SetupError(missingMessage(what, packages));
}

/**
 * The CUDA compiler: in CUDA_HOME, on PATH, or in /usr/local/cuda, where NVIDIA's own packages put it.
 * @returns {string | undefined} its full path
 */
export function findNvcc(env = process.env, standard = '/usr/local/cuda') {
  const inFolder = (folder) => findProgram('nvcc', { PATH: join(folder, 'bin') });
  return (env.CUDA_HOME && inFolder(env.CUDA_HOME)) || findProgram('nvcc', env) || inFolder(standard);
}

/**
 * Is there an NVIDIA GPU, or at least its driver? In a container, a GPU is a device file; under WSL it is /dev/dxg.
 * @param {string} system the root of the file system
 */
export function hasGpu(env = process.env, system = '/') {
  const devices = join(system, 'dev');
  const names = existsSync(devices) ? readdirSync(devices) : [];
  if (names.some((name) => /^(nvidia\d+|nvidiactl|dxg)$/.test(name))) return true;
  const standard = ['usr/lib/x86_64-linux-gnu', 'usr/lib/aarch64-linux-gnu', 'usr/lib64', 'usr/lib/wsl/lib'];
  const folders = standard.map((folder) => join(system, folder));
  const named = (env.LD_LIBRARY_PATH ?? '').split(delimiter).filter(Boolean);
  return [...folders, ...named].some((folder) => existsSync(join(folder, 'libcuda.so.1')));
}

/** The clang-format binary that the npm package of the same name ships for this platform. */
export function findClangFormat(root) {
  const require = createRequire(join(root, 'package.json'));
  return require('clang-format').getNativeBinary();
}
