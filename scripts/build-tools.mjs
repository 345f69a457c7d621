// What compiles the addon and is no dependency of an installed package: cmake-js and the headers of Node-API. A checkout has
// them among its devDependencies; for an installed package they are fetched into build/tools.
// Node built-ins only: this runs before `npm ci`.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { run } from './command.mjs';
import { Step } from './progress.mjs';
import { findProgram, SetupError } from './toolchain.mjs';

const names = ['cmake-js', 'node-addon-api', 'node-api-headers'];

const toolsFolder = (root) => join(root, 'build', 'tools');

/** The folder of an installed tool, or undefined. */
export function findTool(root, name) {
  for (const folder of [root, toolsFolder(root)]) {
    try {
      return dirname(createRequire(join(folder, 'package.json')).resolve(`${name}/package.json`));
    } catch {
      // Not there.
    }
  }
  return undefined;
}

/** For a program that looks for modules from the package itself, such as node-gyp's `node -p "require(...)"`. */
export function toolsEnv(root) {
  const modules = [join(toolsFolder(root), 'node_modules'), process.env.NODE_PATH].filter(Boolean);
  return { ...process.env, NODE_PATH: modules.join(delimiter) };
}

/** npm of the process that runs this script, of the running Node, or on PATH. */
function findNpm(env = process.env, execPath = process.execPath) {
  const scripts = [
    env.npm_execpath?.endsWith('npm-cli.js') ? env.npm_execpath : undefined,
    join(dirname(execPath), '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(dirname(execPath), 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ];
  const script = scripts.find((path) => path && existsSync(path));
  if (script) return [execPath, script];
  const program = findProgram('npm', env);
  return program && [program];
}

/**
 * Fetches what is not there yet.
 * @throws {SetupError} naming what keeps it from being fetched
 */
export async function fetchTools(root) {
  const missing = names.filter((name) => findTool(root, name) === undefined);
  if (missing.length === 0) return;
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).devDependencies;
  const specs = missing.map((name) => `${name}@${wanted[name]}`);
  const npm = findNpm();
  if (!npm) throw new SetupError(`npm is not there, which fetches ${specs.join(', ')}.`);
  const step = new Step('build tools');
  const folder = toolsFolder(root);
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  } catch (error) {
    step.fail();
    throw new SetupError(`${folder} cannot be written: ${error.message}`);
  }
  const args = [
    'install',
    '--prefix',
    folder,
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--no-package-lock',
    ...specs,
  ];
  const { status, output } = await run(npm[0], [...npm.slice(1), ...args], { cwd: folder });
  if (status !== 0) {
    step.fail();
    throw new SetupError(`${output.trimEnd()}\n\n${specs.join(', ')} cannot be fetched: see above.`);
  }
  step.done();
}
