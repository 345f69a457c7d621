// Runs what `npm run package` has made, each package in what runs it here (scripts/package/runtimes.mjs):
// `node scripts/try-packages.mjs [system...]`. The tarballs are unpacked as npm would install them; an INT8 and an FP32 model
// must say the same as this checkout's own build does, text and likelihood. What nothing here runs is said to be untried. It
// ends with `N passed, N failed`.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isMain, run, runMain } from './command.mjs';
import { packageFolder, readManifest, tar, tarballFolder, tarballName } from './package/pack.mjs';
import { runtimes } from './package/runtimes.mjs';
import { chooseTargets, packageName } from './package/targets.mjs';
import { projectRoot } from './setup.mjs';
import { SetupError } from './toolchain.mjs';

const say = (text) => process.stdout.write(`${text}\n`);

/** Its output is one line of JSON. */
const program = `
import { Model } from 'kvasir';
const said = {};
for (const dtype of ['int8', 'fp32']) {
  const model = await Model.load('stories-260k', { dtype, threads: 2 });
  const { text } = await model.generate('Once upon a time', { maxTokens: 48, temperature: 0 });
  const { logLikelihood } = await model.score(text);
  await model.dispose();
  said[dtype] = { text, logLikelihood };
}
console.log(JSON.stringify(said));
`;

/** Unpacks both tarballs where the program finds them. @returns the program's path */
async function install(root, target) {
  const folder = join(packageFolder(root), 'try', target.name);
  const manifest = readManifest(root);
  rmSync(folder, { recursive: true, force: true });
  for (const name of ['kvasir', packageName(target)]) {
    const tarball = join(tarballFolder(root), tarballName({ name, version: manifest.version }));
    if (!existsSync(tarball)) throw new SetupError(`${tarball} is not there: npm run package`);
    const into = join(folder, 'node_modules', name);
    mkdirSync(into, { recursive: true });
    await tar(['-xzf', tarball, '-C', into, '--strip-components=1']);
  }
  // By which Deno looks for packages as Node does.
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const path = join(folder, 'try.mjs');
  writeFileSync(path, program);
  return path;
}

async function runNode({ command, env }, args) {
  const [first, ...rest] = [...command, ...args];
  return run(first, rest, { env: { ...process.env, HF_HUB_OFFLINE: '1', ...env } });
}

/** The line of JSON; throws the whole output where there is none. */
function lastJson({ status, output }) {
  const line = output.split(/\r?\n/).findLast((text) => text.startsWith('{'));
  if (status !== 0 || line === undefined) throw new Error(`${output.trimEnd()}\n(exit status ${status})`);
  return JSON.parse(line);
}

/** What this checkout's own build says, on the scalar kernels. */
async function expected(root) {
  const folder = join(packageFolder(root), 'try', 'checkout');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'try.mjs');
  writeFileSync(path, program.replace("'kvasir'", `'${join(root, 'dist', 'index.js')}'`));
  const env = { KVASIR_CPU_ISA: 'scalar' };
  return lastJson(await runNode({ command: [process.execPath], env }, [path]));
}

/** What `kvasir doctor` says of an installed package; it must have loaded the addon of that package. */
async function examine(runtime, folder) {
  const command = join(folder, 'node_modules', 'kvasir', 'dist', 'cli', 'main.js');
  const { output } = await runNode(runtime, [command, 'doctor', '--json']);
  if (!output.includes('{')) throw new Error(output);
  const { addon, cpu } = JSON.parse(output.slice(output.indexOf('{'), output.lastIndexOf('}') + 1));
  if (!/@kvasir[/\\]/.test(addon.path ?? '')) throw new Error(`loaded ${addon.path}, not the package`);
  return cpu;
}

/** @returns {Promise<string>} the kernel tables that said what was wanted */
async function tryRuntime(root, { allTables, open }, { path, wanted }) {
  const runtime = await open(root);
  const { available, selected } = await examine(runtime, dirname(path));
  const tables = allTables ? available : [selected];
  for (const table of tables) {
    const env = { ...runtime.env, KVASIR_CPU_ISA: table };
    const said = lastJson(await runNode({ ...runtime, env }, [path]));
    if (JSON.stringify(said) === JSON.stringify(wanted)) continue;
    throw new Error(`${table}: ${JSON.stringify(said)}\ninstead of ${JSON.stringify(wanted)}`);
  }
  return tables.join(', ');
}

/**
 * @param installed gives the path of the installed program
 * @returns {Promise<'passed' | 'failed' | 'untried'>}
 */
async function tryAndSay(root, runtime, { installed, wanted }) {
  const title = `${runtime.target}, ${runtime.name}`;
  const lacks = runtime.lacks();
  if (lacks.length > 0) {
    say(`${title}: untried, not installed here: ${lacks.join(', ')}`);
    return 'untried';
  }
  try {
    const tables = await tryRuntime(root, runtime, { path: await installed(), wanted });
    say(`${title}: the checkout's text and likelihood (${tables})`);
    return 'passed';
  } catch (error) {
    if (error.name === 'Interrupted') throw error;
    say(`${title}: failed\n${error.message}`);
    return 'failed';
  }
}

async function main() {
  const chosen = chooseTargets(process.argv.slice(2));
  const wanted = await expected(projectRoot);
  const results = [];
  for (const target of chosen) {
    const own = runtimes.filter((runtime) => runtime.target === target.name);
    if (own.length === 0) say(`${target.name}: untried, nothing here runs it`);
    let path;
    // One installation for all that run it.
    const installed = () => {
      path ??= install(projectRoot, target);
      return path;
    };
    for (const runtime of own) results.push(await tryAndSay(projectRoot, runtime, { installed, wanted }));
  }
  const [passed, failed] = ['passed', 'failed'].map((kind) => results.filter((one) => one === kind).length);
  say(`\n${passed} passed, ${failed} failed`);
  return failed > 0 || passed === 0 ? 1 : 0;
}

if (isMain(import.meta.url)) await runMain(main);
