/** A new project in a folder of its own, installed from a local registry as a user would, with no compiler on its PATH. */
import { execFile } from 'node:child_process';
import {
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

export class Project {
  readonly folder: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(registry: string) {
    const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'kvasir-installed-')));
    this.folder = join(scratch, 'app');
    const bin = join(scratch, 'bin');
    mkdirSync(this.folder);
    mkdirSync(bin);
    const node = process.execPath;
    const npm = realpathSync(join(dirname(node), 'npm'));
    symlinkSync(node, join(bin, 'node'));
    symlinkSync(npm, join(bin, 'npm'));
    symlinkSync(join(dirname(npm), 'npx-cli.js'), join(bin, 'npx'));
    symlinkSync('/bin/sh', join(bin, 'sh'));
    writeFileSync(join(this.folder, 'package.json'), '{ "name": "app", "private": true }\n');
    writeFileSync(
      join(this.folder, '.npmrc'),
      `registry=${registry}\nignore-scripts=true\naudit=false\nfund=false\n`,
    );
    const own = Object.entries(process.env).filter(([name]) => !/^(npm_|KVASIR_|HF_|NODE_)/i.test(name));
    this.#env = {
      ...Object.fromEntries(own),
      PATH: bin,
      HOME: scratch,
      HF_HUB_OFFLINE: '1',
      npm_config_cache: join(scratch, 'npm-cache'),
    };
  }

  /** One of the programs on the project's PATH. */
  run(program: 'node' | 'npm' | 'npx', args: readonly string[], cwd = this.folder): Promise<Outcome> {
    const path = join(dirname(this.folder), 'bin', program);
    return new Promise((resolve) => {
      execFile(path, args, { cwd, env: this.#env, encoding: 'utf8' }, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ status, stdout, stderr });
      });
    });
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
    rmSync(dirname(this.folder), { recursive: true, force: true });
  }
}
