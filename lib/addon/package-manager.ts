/** Which package manager a project uses, and how it is told to do a thing. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

export type PackageManager = 'npm' | 'pnpm' | 'yarn' | 'bun';

/** Files that a package manager leaves in a project; the lock first, since installations may be of several. */
const traces: readonly [string, PackageManager][] = [
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['package-lock.json', 'npm'],
  ['npm-shrinkwrap.json', 'npm'],
  ['node_modules/.modules.yaml', 'pnpm'],
  ['node_modules/.yarn-state.yml', 'yarn'],
  ['node_modules/.yarn-integrity', 'yarn'],
  ['node_modules/.package-lock.json', 'npm'],
];

/** Folders above the package, the project's own among them: workspaces keep their lock above it. */
function foldersAbove(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [] : [above, ...foldersAbove(above)];
}

/**
 * By the project's own files; else by who runs this process; else npm.
 * @param packageRoot of the installed package
 */
export function packageManager(packageRoot: string, env = process.env): PackageManager {
  for (const folder of foldersAbove(packageRoot)) {
    const trace = traces.find(([file]) => existsSync(join(folder, file)));
    if (trace) return trace[1];
  }
  const agent = /^(npm|pnpm|yarn|bun)\//.exec(env.npm_config_user_agent ?? '')?.[1];
  return (agent as PackageManager | undefined) ?? 'npm';
}

/** Installs a package again, with those that it names as optional. */
export function reinstallCommand(manager: PackageManager, what: string): string {
  switch (manager) {
    case 'npm':
      return `npm install --include=optional ${what}`;
    case 'pnpm':
      return `pnpm add ${what}`;
    case 'yarn':
      return `yarn add ${what}`;
    case 'bun':
      return `bun add ${what}`;
  }
}

/** Runs the `kvasir` command of the project. */
export function kvasirCommand(manager: PackageManager, command: string): string {
  const runners = { npm: 'npx', pnpm: 'pnpm exec', yarn: 'yarn', bun: 'bunx' };
  return `${runners[manager]} kvasir ${command}`;
}
