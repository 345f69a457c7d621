/**
 * Folders that may hold the addon, and what to do where none does. It loads nothing: lib/native.ts does.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createRequire } from '../node-require.js';
import { kvasirCommand, packageManager, reinstallCommand } from './package-manager.js';
import { prebuilt, systemName } from './platform.js';

/** Where a build in the package itself puts the addon. */
export function buildFolder(packageRoot: string): string {
  return join(packageRoot, 'build', 'Release');
}

const versionIn = (folder: string): string | undefined => {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
  } catch {
    return undefined;
  }
};

/** The folder of an installed package as the package at `packageRoot` sees it. */
function folderOf(name: string, packageRoot: string): string | undefined {
  try {
    return dirname(createRequire(join(packageRoot, 'package.json')).resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}

/** What is there of the package for this system. */
interface Prebuilt {
  name: string;
  folder?: string;
  version?: string;
}

function findPrebuilt(packageRoot: string): Prebuilt {
  const name = `@kvasir/${systemName()}`;
  const folder = folderOf(name, packageRoot);
  return folder === undefined ? { name } : { name, folder, version: versionIn(folder) };
}

/** In the order in which they are tried: what was built here on request comes before what was installed. */
export function addonFolders(packageRoot: string): string[] {
  const { folder, version } = findPrebuilt(packageRoot);
  // An addon of another version speaks to other code.
  const isOurs = folder !== undefined && version === versionIn(packageRoot);
  return [buildFolder(packageRoot), ...(isOurs ? [folder] : [])];
}

/** A folder with the sources of the TypeScript too: its own scripts build it. */
function isCheckout(packageRoot: string): boolean {
  return existsSync(join(packageRoot, 'lib')) && existsSync(join(packageRoot, 'package-lock.json'));
}

/**
 * One sentence of what is wrong, and the command that mends it.
 * @param failures of the candidates that are there and cannot be loaded
 */
export function explainMissing(packageRoot: string, failures: readonly string[]): string {
  const system = systemName();
  const { name, folder, version } = findPrebuilt(packageRoot);
  const wanted = versionIn(packageRoot);
  if (isCheckout(packageRoot)) {
    const what = failures[0] ?? `there is none in ${buildFolder(packageRoot)}`;
    return `The native addon cannot be loaded (${what}). Build it: npm run build (in ${packageRoot})`;
  }
  const manager = packageManager(packageRoot);
  const build = kvasirCommand(manager, 'build');
  if (failures.length > 0) {
    return `The native addon for ${system} cannot be loaded (${failures.join('; ')}). Build it from source: ${build}`;
  }
  if (!prebuilt.includes(system)) {
    return `No addon is published for ${system}. Build it from source: ${build}`;
  }
  const again = reinstallCommand(manager, `kvasir@${wanted}`);
  if (folder !== undefined) {
    return `The package ${name} is of version ${version}, and kvasir of ${wanted}. Install both again: ${again}`;
  }
  return `The package ${name}, which holds the native addon, is not installed: optional dependencies were left out, or node_modules is from another system. Install it: ${again}`;
}
