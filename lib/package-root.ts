/**
 * Where the files of this package lie: the addon, the embedded models, what runs on threads of its own. Beside this file, or,
 * where a bundler has moved this code into another file, in the installed package.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KvasirError } from './errors.js';
import { createRequire } from './node-require.js';

/** undefined in a bundle that was written as CommonJS. */
const moduleUrl: string | undefined = import.meta.url;

function isOwn(folder: string): boolean {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name === 'kvasir';
  } catch {
    return false;
  }
}

/** This file, where the bundler knows it. */
function ownFile(url: string | undefined): string | undefined {
  try {
    return url === undefined ? undefined : fileURLToPath(url);
  } catch {
    return undefined;
  }
}

/**
 * @param url of a file in lib/ or dist/, or of the bundle
 * @param others files or folders from which Node would look for the package, if it is not found from there
 * @returns undefined where there is no installed package either
 */
export function findPackageRoot(
  url: string | undefined,
  others: readonly (string | undefined)[],
): string | undefined {
  const file = ownFile(url);
  if (file !== undefined && isOwn(join(dirname(file), '..'))) return join(dirname(file), '..');
  for (const from of [file, ...others]) {
    if (from === undefined) continue;
    try {
      return dirname(createRequire(from).resolve('kvasir/package.json'));
    } catch {
      // Not installed there.
    }
  }
  return undefined;
}

const found = findPackageRoot(moduleUrl, [process.argv[1], join(process.cwd(), 'package.json')]);

/** The package's root, from lib/ and from dist/ alike; without `isInstalled` there is none, and this is the working folder. */
export const packageRoot: string = found ?? process.cwd();

/** Whether the package is there at all: code that was bundled may run without it. */
export const isInstalled: boolean = found !== undefined;

/**
 * The path of a file that ships in the package.
 * @throws KvasirError ADDON_MISSING where a bundle runs without the package.
 */
export function packageFile(...parts: string[]): string {
  if (isInstalled) return join(packageRoot, ...parts);
  throw new KvasirError(
    'ADDON_MISSING',
    "Kvasir was bundled, and its package, with the native addon and the files beside it, is not installed where the bundle runs: install it there, and leave 'kvasir' external (docs/install.md)",
  );
}

/**
 * The path of compiled code that runs on a thread or in a process of its own, where the caller runs as TypeScript or in a
 * bundle too.
 * @param parts below dist/
 * @throws KvasirError INTERNAL where nothing is built, and what `packageFile` throws.
 */
export function compiledFile(...parts: string[]): string {
  const file = packageFile('dist', ...parts);
  if (existsSync(file)) return file;
  throw new KvasirError('INTERNAL', `${file} is missing: build the package first (npm run build).`);
}
