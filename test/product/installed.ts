/** A new project in a folder of its own, installed from a local registry as a user would, with no compiler on its PATH. */
import { execFile, type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/** What installs packages in a project. */
export interface Manager {
  /** The Node that runs it, and the project's programs. */
  node: string;
  /** Its programs: scripts of Node, or executables. */
  programs: Readonly<Record<string, string>>;
  /** Files of the project that name the registry and have install scripts blocked. */
  settings: (registry: string) => Readonly<Record<string, string>>;
}

export const npmSettings = (registry: string): Readonly<Record<string, string>> => ({
  '.npmrc': `registry=${registry}\nignore-scripts=true\naudit=false\nfund=false\nupdate-notifier=false\n`,
});

/** The npm beside this Node. */
export function ownNpm(): Manager {
  const npm = realpathSync(join(dirname(process.execPath), 'npm'));
  return {
    node: process.execPath,
    programs: { npm, npx: join(dirname(npm), 'npx-cli.js') },
    settings: npmSettings,
  };
}

/** What every system has, and the commands of packages may call: no compiler, no make. */
const tools = ['sh', 'basename', 'cat', 'dirname', 'echo', 'env', 'ls', 'readlink', 'sed', 'test', 'uname'];

/** Settings of whoever runs the tests must not reach a package manager, nor Kvasir. */
const foreign = /^(npm_|pnpm_|yarn_|bun_|xdg_|kvasir_|hf_|node_|vitest|ci$)/i;

export class Project {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #scratch: string;

  readonly #settings: Readonly<Record<string, string>>;

  constructor(registry: string, manager: Manager = ownNpm()) {
    this.#scratch = realpathSync(mkdtempSync(join(tmpdir(), 'kvasir-installed-')));
    this.folder = join(this.#scratch, 'app');
    mkdirSync(this.folder);
    mkdirSync(this.#bin());
    symlinkSync(manager.node, this.#bin('node'));
    for (const tool of tools) symlinkSync(join('/bin', tool), this.#bin(tool));
    for (const [name, path] of Object.entries(manager.programs)) {
      const command = /\.[cm]?js$/.test(path) ? `node "${path}"` : `"${path}"`;
      writeFileSync(this.#bin(name), `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
    }
    this.#settings = {
      'package.json': '{ "name": "app", "private": true }\n',
      ...manager.settings(registry),
    };
    for (const [name, text] of Object.entries(this.#settings)) this.write(name, text);
    const own = Object.entries(process.env).filter(([name]) => !foreign.test(name));
    this.env = {
      ...Object.fromEntries(own),
      PATH: this.#bin(),
      HOME: this.#scratch,
      HF_HUB_OFFLINE: '1',
      npm_config_cache: join(this.#scratch, 'npm-cache'),
    };
  }

  /** Nothing is installed any more; what a package manager keeps outside the project stays. */
  empty(): void {
    for (const name of readdirSync(this.folder)) rmSync(join(this.folder, name), { recursive: true });
    for (const [name, text] of Object.entries(this.#settings)) this.write(name, text);
  }

  #bin(name = ''): string {
    return join(this.#scratch, 'bin', name);
  }

  /** One of the programs on the project's PATH, or of its packages. */
  #program(name: string): string {
    const own = this.#bin(name);
    return existsSync(own) ? own : join(this.folder, 'node_modules', '.bin', name);
  }

  run(program: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
    const { cwd = this.folder, env } = options;
    return new Promise<Outcome>((resolve) => {
      const settings = { cwd, env: { ...this.env, ...env }, encoding: 'utf8', maxBuffer: 2 ** 26 } as const;
      execFile(this.#program(program), args, settings, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ status, stdout, stderr });
      });
    });
  }

  /** Like `run`, of a program that goes on; it leads a group of processes. */
  start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const { folder: cwd } = this;
    return spawn(this.#program(program), args, { cwd, env: { ...this.env, ...env }, detached: true });
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** Of a folder of the project, links not followed. */
  bytes(name: string): number {
    const path = join(this.folder, name);
    return readdirSync(path, { withFileTypes: true }).reduce((sum, entry) => {
      const inside = join(name, entry.name);
      return (
        sum +
        (entry.isDirectory()
          ? this.bytes(inside)
          : entry.isFile()
            ? statSync(join(path, entry.name)).size
            : 0)
      );
    }, 0);
  }

  remove(): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}
