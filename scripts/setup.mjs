// All the set-up of a checkout: npm packages, native build, CUDA library, TypeScript; each only when its inputs changed.
// As a command: `node scripts/setup.mjs [--testing | --native-only | --typescript-only]`.
// Node built-ins only: this runs before `npm ci`.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchTools } from './build-tools.mjs';
import { isMain, npmCommand, run, runMain } from './command.mjs';
import { buildCuda } from './cuda-build.mjs';
import { buildAddon, jobs } from './native-build.mjs';
import { sayUpToDate, Step } from './progress.mjs';
import { hashInputs, listFiles, Stamp } from './stamp.mjs';
import { chooseBuilder, SetupError } from './toolchain.mjs';

export const projectRoot = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

/** Why node_modules is not what package-lock.json asks for, or undefined when it is. */
export function staleDependencies(root) {
  const installedPath = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return 'not installed';
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages;
  for (const [path, { version, optional, peer, link }] of Object.entries(wanted)) {
    if (path === '' || link) continue;
    // npm leaves out what is optional on this platform.
    if (!installed[path] && (optional || peer)) continue;
    if (installed[path]?.version !== version) return `${path} is not at ${version}`;
    if (!existsSync(join(root, path))) return `${path} is missing`;
  }
  return undefined;
}

/** npm's own account of a failure, without the page of options that it appends. */
function withoutUsage(output) {
  return output
    .split(/^npm error (?:Usage:|Clean install a project)/m)[0]
    .replace(/(npm error\s*)+$/, '')
    .trimEnd();
}

/** `npm ci`, when node_modules is not what package-lock.json asks for. */
export async function installDependencies(root) {
  const title = 'npm packages';
  const reason = staleDependencies(root);
  if (reason === undefined) {
    sayUpToDate(title);
    return;
  }
  const step = new Step(title);
  step.update(reason);
  const [npm, ...first] = npmCommand();
  const args = [...first, 'ci', '--dry-run=false', '--ignore-scripts', '--no-audit', '--no-fund'];
  const { status, output } = await run(npm, args, { cwd: root });
  if (status !== 0) {
    step.fail();
    throw new SetupError(
      `${withoutUsage(output)}\n\n'npm ci' failed: see above. It needs the npm registry once.`,
    );
  }
  step.done();
}

/** A file that left lib/ must leave dist/ too, or it is still importable and still packed. */
function dropOrphans(root) {
  for (const name of listFiles(root, ['dist'])) {
    const folder = name.startsWith('dist/web/') ? name.slice('dist/'.length) : name.replace(/^dist/, 'lib');
    const source = folder.replace(/(\.d\.ts|\.js|\.js\.map)$/, '.ts');
    if (!existsSync(join(root, source))) rmSync(join(root, name));
  }
}

/** What runs in Node, and the page of the server, which runs in browsers. */
const projects = ['tsconfig.build.json', 'web/tsconfig.json'];

export async function compileTypeScript(root) {
  const files = listFiles(root, ['lib', 'web', 'tsconfig.json', 'tsconfig.build.json']);
  const typescript = JSON.parse(
    readFileSync(join(root, 'node_modules/typescript/package.json'), 'utf8'),
  ).version;
  const sources = files.filter((name) => /^(lib|web)\/.*\.ts$/.test(name));
  const products = sources.map((name) =>
    (name.startsWith('web/') ? `dist/${name}` : name.replace(/^lib/, 'dist')).replace(/\.ts$/, '.js'),
  );
  const stamp = new Stamp(root, 'typescript', products);
  const hash = hashInputs(root, files, { typescript });
  if (stamp.isCurrent(hash)) {
    sayUpToDate('TypeScript');
    return;
  }
  const step = new Step('TypeScript');
  stamp.clear();
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  for (const project of projects) {
    const { status, output } = await run(process.execPath, [tsc, '--project', project], { cwd: root });
    if (status === 0) continue;
    step.fail();
    throw new SetupError(`${output.trimEnd()}\n\nTypeScript does not compile.`);
  }
  dropOrphans(root);
  stamp.write(hash);
  step.done();
}

/**
 * @param {{ testing?: boolean, root?: string }} options `testing`: also what only the tests need
 * @throws {SetupError} whose message says what to do
 */
export async function setup({ testing = false, root = projectRoot } = {}) {
  // Before the minutes of work: a machine that cannot compile should say so at once.
  chooseBuilder(root);
  // A package inside node_modules came with dist/ and had its dependencies put beside it.
  const isCheckout = existsSync(join(root, 'package-lock.json')) && existsSync(join(root, 'lib'));
  if (isCheckout) await installDependencies(root);
  await buildAddon(root, { testing });
  await buildCuda(root, { jobs: jobs() });
  if (isCheckout) await compileTypeScript(root);
}

async function main() {
  const known = ['--testing', '--native-only', '--typescript-only'];
  const flags = process.argv.slice(2);
  const unknown = flags.find((flag) => !known.includes(flag));
  if (unknown) throw new SetupError(`Unknown option ${unknown}; known: ${known.join(', ')}`);
  if (flags.includes('--native-only')) {
    // Before anything is fetched: a machine that cannot compile should say so at once.
    chooseBuilder(projectRoot);
    await fetchTools(projectRoot);
    await buildAddon(projectRoot);
    await buildCuda(projectRoot, { jobs: jobs(), optional: true });
  } else if (flags.includes('--typescript-only')) {
    // For `npm pack`, which may be the first command in a clone.
    await installDependencies(projectRoot);
    await compileTypeScript(projectRoot);
  } else await setup({ testing: flags.includes('--testing') });
}

if (isMain(import.meta.url)) await runMain(main);
