// Lays the files of the kit out: what each folder of it holds, and what must not be in it.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { ownThreads } from '../package/bundle.mjs';
import { listFiles } from '../stamp.mjs';

export const mostBytes = 55_000_000;

/** Compiled JavaScript that the parts of a check import, and what runs on threads of its own. */
function entriesOf(root) {
  const scripts = listFiles(root, ['scripts/kit', 'scripts/gpu-parity.mjs']);
  const named = scripts.flatMap((name) => [
    ...readFileSync(join(root, name), 'utf8').matchAll(/[}/](dist\/[\w/-]+\.js)/g),
  ]);
  return [...new Set(named.map(([, file]) => file)), ...ownThreads.map((name) => `dist/${name}`)];
}

/**
 * What runs of the package in a check: its own files, and the npm packages that they import, with theirs, by their names in
 * package-lock.json. What is only imported when something asks for it (a hub, a server) is left out.
 * @returns {Promise<{ files: string[], packages: string[] }>} below the root
 */
export async function runtimeParts(root) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const { metafile } = await build({
    ...{ absWorkingDir: root, entryPoints: entriesOf(root), outdir: 'unwritten', logLevel: 'error' },
    ...{ bundle: true, write: false, metafile: true, splitting: true, format: 'esm', platform: 'node' },
    packages: 'external',
  });
  const wanted = new Set();
  const add = (name, from) => {
    const nested = `${from}/node_modules/${name}`;
    const path = from && packages[nested] ? nested : `node_modules/${name}`;
    if (!packages[path] || wanted.has(path)) return;
    wanted.add(path);
    for (const next of Object.keys(packages[path].dependencies ?? {})) add(next, path);
  };
  for (const { imports } of Object.values(metafile.inputs)) {
    for (const { path, kind, external } of imports) {
      const name = /^(?:@[\w.-]+\/)?[\w.-]+/.exec(path)?.[0];
      if (external && kind === 'import-statement' && name) add(name, '');
    }
  }
  return { files: Object.keys(metafile.inputs).sort(), packages: [...wanted].sort() };
}

/** Of a package what runs: no types, no maps, no tests. */
function copyPackage(root, path, app) {
  const isWanted = (file) =>
    !/(\.[cm]?ts|\.map|\.md)$/.test(file) && !/\/(test|tests|docs|src|commonjs)$/.test(file);
  const from = join(root, path);
  cpSync(from, join(app, path), {
    recursive: true,
    filter: (file) => isWanted(file) && !file.slice(from.length).includes('/node_modules'),
  });
}

/** Strings of the machine that made the kit, in place of which equally many other bytes do as well. */
function scrub(bytes, secrets) {
  for (const secret of secrets) {
    const found = Buffer.from(secret);
    for (let at = bytes.indexOf(found); at >= 0; at = bytes.indexOf(found, at + 1)) {
      bytes.write('.'.padEnd(found.length, '/'), at);
    }
  }
  return bytes;
}

/** Copies everything but Node. `programs`: name below build/Release -> file. */
export async function packApp(root, folder, programs) {
  const { files, packages } = await runtimeParts(root);
  const app = join(folder, 'app');
  rmSync(app, { recursive: true, force: true });
  const copy = (name, to = name, filter = () => true) => {
    mkdirSync(dirname(join(app, to)), { recursive: true });
    cpSync(join(root, name), join(app, to), { recursive: true, filter });
  };
  copy('package.json');
  for (const file of files) copy(file);
  copy('models');
  // What the CUDA library is built from, where that of the kit does not load.
  copy('native', 'native', (file) => !/\/(testing|addon|io|runtime|backend\/cpu)$/.test(file));
  copy('scripts/gpu-parity.mjs');
  for (const name of readdirSync(join(root, 'scripts/kit'))) {
    if (!/^(pack|portable)\.mjs$|^CMakeLists|^run\.sh$/.test(name)) copy(`scripts/kit/${name}`);
  }
  copy('scripts/kit/CMakeLists.txt', 'cuda/CMakeLists.txt');
  const golden = (file) => !/golden\.json$|\.gguf$/.test(file);
  for (const name of ['tiny-llama', 'tiny-gpt2']) copy(`test/fixtures/${name}`, undefined, golden);
  for (const path of packages) copyPackage(root, path, app);
  for (const [name, file] of Object.entries(programs)) {
    const to = join(app, 'build/Release', name);
    mkdirSync(dirname(to), { recursive: true });
    const bytes = scrub(readFileSync(file), [root]);
    writeFileSync(`${to}.gz`, gzipSync(bytes, { level: 9 }));
  }
  cpSync(join(root, 'scripts/kit/run.sh'), join(folder, 'run.sh'));
}

/** libstdc++ and libgcc_s of this machine, which Node falls back to where a machine has none. */
export function packFallbacks(folder, findLibrary) {
  mkdirSync(join(folder, 'lib'), { recursive: true });
  for (const name of ['libstdc++.so.6', 'libgcc_s.so.1']) {
    const path = findLibrary(name);
    if (existsSync(path))
      writeFileSync(join(folder, 'lib', `${name}.gz`), gzipSync(readFileSync(path), { level: 9 }));
  }
}

/** Bytes of all files. */
export function sizeOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath ?? entry.path, entry.name)).size, 0);
}
