/**
 * `npm install kvasir` and what others call it: with each package manager, install scripts blocked and no compiler on PATH, a
 * new project has a command that generates. Versions are pinned; each runs on a Node that it supports.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fetchBun, fetchNode, fetchPackage } from '../../scripts/package/programs.mjs';
import { type Manager, npmSettings, ownNpm, Project } from '../product/installed.js';
import { type Packed, root, servePacked, system } from '../product/packed.js';

const mostBytes = 25_000_000;
/** Of processor time: more than that a quiet machine does not take, and a busy one is not the package's fault. */
const mostSeconds = 15;

interface Case {
  title: string;
  manager: () => Promise<Manager>;
  /** What a user types to add kvasir, and to run its command, beside `npx kvasir`. */
  add: string;
  run: string;
  /** Packages are not in node_modules. */
  elsewhere?: boolean;
  /** It knows no `libc`, and takes the package of the other C library too. */
  takesBoth?: boolean;
}

const npm = async (version: string): Promise<Manager> => {
  const cli = await fetchPackage(root, 'npm', version, 'bin/npm-cli.js');
  return {
    node: await fetchNode(root, 24),
    programs: { npm: cli, npx: cli.replace('npm-cli', 'npx-cli') },
    settings: npmSettings,
  };
};

const pnpm = async (version: string): Promise<Manager> => ({
  node: await fetchNode(root, 24),
  programs: { ...ownNpm().programs, pnpm: await fetchPackage(root, 'pnpm', version, 'bin/pnpm.mjs') },
  // It blocks install scripts by itself, and fails of those that it blocked.
  settings: (registry) => ({ '.npmrc': `registry=${registry}\n` }),
});

const yarnClassic = async (version: string): Promise<Manager> => ({
  node: await fetchNode(root, 22),
  programs: { ...ownNpm().programs, yarn: await fetchPackage(root, 'yarn', version, 'bin/yarn.js') },
  settings: (registry) => ({ '.yarnrc': `registry "${registry}"\nignore-scripts true\n` }),
});

const yarn = async (version: string, linker: string): Promise<Manager> => ({
  node: await fetchNode(root, 24),
  programs: {
    ...ownNpm().programs,
    yarn: await fetchPackage(root, '@yarnpkg/cli-dist', version, 'bin/yarn.js'),
  },
  settings: (registry) => ({
    'yarn.lock': '',
    '.yarnrc.yml': [
      `npmRegistryServer: "${registry}"`,
      'unsafeHttpWhitelist: ["127.0.0.1"]',
      `nodeLinker: ${linker}`,
      'enableScripts: false',
      'enableTelemetry: false',
      '',
    ].join('\n'),
  }),
});

const bun = async (): Promise<Manager> => ({
  node: process.execPath,
  programs: { ...ownNpm().programs, bun: await fetchBun(root) },
  // It blocks install scripts by itself.
  settings: (registry) => ({ 'bunfig.toml': `[install]\nregistry = "${registry}"\n` }),
});

const cases: Case[] = [
  { title: 'npm 12', manager: () => npm('12.2.2'), add: 'npm install', run: 'npm exec --' },
  { title: 'npm 11', manager: () => npm('11.21.2'), add: 'npm install', run: 'npm exec --' },
  { title: 'pnpm 11', manager: () => pnpm('11.28.11'), add: 'pnpm add', run: 'pnpm exec' },
  {
    ...{ title: 'Yarn 1', takesBoth: true },
    manager: () => yarnClassic('1.22.22'),
    add: 'yarn add',
    run: 'yarn --silent',
  },
  {
    title: 'Yarn 4, node_modules',
    manager: () => yarn('4.18.1', 'node-modules'),
    add: 'yarn add',
    run: 'yarn',
  },
  {
    ...{ title: 'Yarn 4, Plug’n’Play', elsewhere: true },
    manager: () => yarn('4.18.1', 'pnp'),
    add: 'yarn add',
    run: 'yarn',
  },
  { title: 'Bun', manager: bun, add: 'bun add', run: 'bun x' },
];

const generate = ['run', 'stories-260k', 'hi', '--max-tokens', '12', '--temperature', '0'];
let packed: Packed;
let project: Project;
let wanted = '';

const isMusl = system.name.endsWith('-musl');
const foreign = isMusl ? system.name.replace('-musl', '') : `${system.name}-musl`;

beforeAll(async () => {
  packed = await servePacked({ checkout: root }, [foreign]);
  const command = join(root, 'dist/cli/main.js');
  const env = { ...process.env, HF_HUB_OFFLINE: '1' };
  wanted = execFileSync(process.execPath, [command, ...generate], { encoding: 'utf8', env });
}, 120_000);
afterAll(() => packed?.remove());
afterEach(() => project?.remove());

function run(command: string, args: readonly string[]) {
  const [program, ...first] = command.split(' ') as [string, ...string[]];
  return project.run(program, [...first, ...args]);
}

/** Runs the command that follows, and says at last how much processor time it took. */
const withTimes = ['-c', '"$@"; status=$?; times >&2; exit $status', 'sh'];

/** Seconds of processor time of the children, of a text that the shell's `times` ends: "0m1.20s 0m0.30s". */
function secondsOf(text: string): number {
  const times = [
    ...text
      .trimEnd()
      .split('\n')
      .at(-1)!
      .matchAll(/(\d+)m([\d.]+)s/g),
  ];
  expect(times).toHaveLength(2);
  return times.reduce((sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds), 0);
}

/** Packages whose installation would run something. */
function withScripts(): string[] {
  const folder = join(project.folder, 'node_modules');
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => {
    if (!/(^|\/)node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(`node_modules/${name}`)) return false;
    const { scripts } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    return ['preinstall', 'install', 'postinstall'].some((script) => scripts?.[script] !== undefined);
  });
}

describe.each(cases)('$title', ({ manager, add, run: own, elsewhere, takesBoth }) => {
  it('installs in seconds what generates', { timeout: 600_000 }, async () => {
    project = new Project(packed.registry.url, await manager());
    const compilers = 'command -v cc c++ gcc g++ clang make cmake ninja python3';
    expect((await project.run('sh', ['-c', compilers])).stdout).toBe('');
    // What it keeps of packages, and what it prepares for itself.
    const first = await run(add, ['kvasir']);
    expect(first.status, first.stdout + first.stderr).toBe(0);
    project.empty();
    const { status, stdout, stderr } = await run('sh', [...withTimes, ...add.split(' '), 'kvasir']);
    expect(status, stdout + stderr).toBe(0);
    expect(stdout + stderr).not.toMatch(/build scripts|allow-scripts|blocked/i);
    expect(secondsOf(stderr)).toBeLessThan(mostSeconds);
    const said = await run(own, ['kvasir', ...generate]);
    expect(said.stdout, said.stderr).toBe(wanted);
    expect(said.status).toBe(0);
    if (elsewhere) return;
    const more = takesBoth ? project.bytes(`node_modules/@kvasir/${foreign}`) : 0;
    expect(project.bytes('node_modules') - more).toBeLessThan(mostBytes);
    expect(withScripts()).toEqual([]);
    const again = await run('npx', ['kvasir', ...generate]);
    expect(again.stdout, again.stderr).toBe(wanted);
  });
});
