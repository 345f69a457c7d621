// What must be true of an addon before it is packed: it runs where its package says, shows Node its entry points and nothing
// else, needs no library that a system may lack, and holds no path of the machine that built it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { readElf } from './elf.mjs';
import { readMachO } from './mach-o.mjs';
import { mostBytes } from './pack.mjs';
import { readPe } from './pe.mjs';

/** Of Node-API, as CMakeLists.txt has it. */
const apiVersion = 8;
const newestGlibc = '2.28';

const entryPoints = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

const readers = { linux: readElf, darwin: readMachO, win32: readPe };

/**
 * What an addon for macOS shows besides: the two names that a linker gives every library, and `operator new` and `delete`,
 * which the C++ library inside has, and of which all libraries of a process on macOS use one definition.
 */
const shownOnMac = /^(_mh_dylib_header|__dso_handle|_Z(nw|na|dl|da)[A-Za-z0-9_]*)$/;

/** Libraries that every system of a target has. */
const system = {
  glibc: /^(lib(c|m|dl|pthread|rt)\.so\.\d+|ld-linux-(x86-64|aarch64)\.so\.\d)$/,
  musl: /^libc\.so$/,
  darwin: /^\/usr\/lib\/lib(System\.B|c\+\+\.1|c\+\+abi)\.dylib$/,
  win32:
    /^(node\.exe|kernel32\.dll|ntdll\.dll|advapi32\.dll|bcrypt\.dll|msvcrt\.dll|ucrtbase\.dll|api-ms-win-[a-z0-9-]+\.dll)$/i,
};

const newerThan = (a, b) => {
  const [major, minor] = [a, b].map((version) => version.split('.').map(Number));
  return major[0] !== minor[0] ? major[0] > minor[0] : (major[1] ?? 0) > (minor[1] ?? 0);
};

/** The highest of versions such as GLIBC_2.17, without its name; undefined of none. */
export function newestVersion(versions) {
  const numbers = versions.map((version) => version.replace(/^[A-Z]+_/, ''));
  return numbers.reduce((best, one) => (best === undefined || newerThan(one, best) ? one : best), undefined);
}

/** Versions of symbols that the oldest C library of the target lacks, and of C++ libraries, which are inside. */
function foreignVersions(versions) {
  return versions.filter((version) => {
    const glibc = /^GLIBC_([\d.]+)$/.exec(version)?.[1];
    return glibc === undefined || newerThan(glibc, newestGlibc);
  });
}

/** Functions of Node that its oldest version lacks. */
function unknownFunctions(root, wanted) {
  const { symbols } = createRequire(join(root, 'package.json'))('node-api-headers');
  const { js_native_api_symbols: engine, node_api_symbols: node } = symbols[`v${apiVersion}`];
  const known = new Set([...engine, ...node]);
  return wanted.filter((name) => /^(napi|node_api)_/.test(name) && !known.has(name));
}

/**
 * @param {string} root of the checkout
 * @param {string} addon
 * @param {{ os: string, cpu: string, libc?: string }} target
 * @returns {{ problems: string[], facts: { bytes: number, needed: string[], versions: string[] } }}
 */
export function checkAddon(root, addon, target) {
  const bytes = readFileSync(addon);
  const problems = [];
  const found = readers[target.os](bytes);
  const refuse = (what, names) => {
    if (names.length > 0) problems.push(`${what}: ${names.join(', ')}`);
  };
  if (found.cpu !== target.cpu) problems.push(`it is for ${found.cpu}, not ${target.cpu}`);
  refuse(
    'shows',
    found.exported.filter(
      (name) => !entryPoints.includes(name) && !(target.os === 'darwin' && shownOnMac.test(name)),
    ),
  );
  refuse(
    'does not show',
    entryPoints.filter((name) => !found.exported.includes(name)),
  );
  refuse(
    'needs the library',
    found.needed.filter((name) => !system[target.libc ?? target.os].test(name)),
  );
  if (target.libc && !found.needed.some((name) => /^libc\.so/.test(name)))
    problems.push('has a C library inside');
  if (target.libc === 'glibc') refuse('needs the version', foreignVersions(found.versions));
  refuse(`needs what Node-API ${apiVersion} lacks`, unknownFunctions(root, found.wanted));
  if (!found.wanted.includes('napi_create_object')) problems.push('calls no function of Node');
  refuse(
    'holds the path',
    [root, homedir()].filter((path) => path.length > 1 && bytes.includes(`${path}/`)),
  );
  if (bytes.length > mostBytes) problems.push(`has ${bytes.length} bytes, of at most ${mostBytes}`);
  const versions = (found.versions ?? []).filter((version) => version.startsWith('GLIBC_'));
  return { problems, facts: { bytes: bytes.length, needed: found.needed, versions } };
}
