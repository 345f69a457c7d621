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
import { listFiles } from '../stamp.mjs';

export const mostBytes = 55_000_000;

/**
 * The npm packages that compiled JavaScript imports, and theirs: names as package-lock.json has them. Optional peers are
 * their users' own.
 */
export function runtimePackages(root) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const own = packages[''].dependencies;
  const imported = new Set();
  for (const name of listFiles(root, ['dist']).filter((file) => file.endsWith('.js'))) {
    const text = readFileSync(join(root, name), 'utf8');
    for (const [, found] of text.matchAll(/(?:from |import\(|require\()'((?:@[\w.-]+\/)?[\w.-]+)[^']*'/g)) {
      imported.add(found);
    }
  }
  const wanted = new Set();
  const add = (name, from) => {
    const nested = `${from}/node_modules/${name}`;
    const path = from && packages[nested] ? nested : `node_modules/${name}`;
    if (!packages[path] || wanted.has(path)) return;
    wanted.add(path);
    for (const next of Object.keys(packages[path].dependencies ?? {})) add(next, path);
  };
  for (const name of imported) if (name in own) add(name, '');
  return [...wanted].sort();
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
export function packApp(root, folder, programs) {
  const app = join(folder, 'app');
  rmSync(app, { recursive: true, force: true });
  const copy = (name, to = name, filter = () => true) => {
    mkdirSync(dirname(join(app, to)), { recursive: true });
    cpSync(join(root, name), join(app, to), { recursive: true, filter });
  };
  copy('package.json');
  copy('dist', 'dist', (file) => !/\.(d\.ts|map)$/.test(file));
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
  for (const path of runtimePackages(root)) copyPackage(root, path, app);
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
