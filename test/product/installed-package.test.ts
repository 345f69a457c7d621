/**
 * The packages as they are published, installed with npm from a registry on this machine: no install script runs, no compiler
 * is there, and the embedded model answers. The addon is the checkout's own.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownThreads } from '../../scripts/package/bundle.mjs';
import { Project } from './installed.js';
import type { Registry } from './local-registry.js';
import { type Packed, root, servePacked, system } from './packed.js';

const mostBytes = 25_000_000;
let packed: Packed;
let registry: Registry;
let project: Project;

beforeAll(async () => {
  packed = await servePacked({ checkout: root });
  registry = packed.registry;
  project = new Project(registry.url);
}, 120_000);
afterAll(() => {
  project?.remove();
  packed?.remove();
});

const generate = [
  'kvasir',
  'run',
  'stories-260k',
  'Once upon a time',
  '--max-tokens',
  '8',
  '--temperature',
  '0',
];
const addonFolder = () => join(project.folder, 'node_modules/@kvasir');

describe('bundles', () => {
  it('have an entry for whatever runs on a thread of its own', () => {
    const sources = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' });
    const named = sources
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => [
        ...readFileSync(join(root, 'lib', name), 'utf8').matchAll(/compiledFile\(('[^)]*')\)/g),
      ])
      .map(([, parts]) => parts!.replaceAll("'", '').split(', ').join('/'));
    expect(named.toSorted()).toEqual(ownThreads);
  });
});

describe('npm install kvasir', { timeout: 120_000 }, () => {
  it('installs the addon of this system alone, in 25 MB, and runs nothing', async () => {
    const { status, stderr } = await project.run('npm', ['install', 'kvasir']);
    expect(status, stderr).toBe(0);
    expect(readdirSync(addonFolder())).toEqual([system.name]);
    expect(registry.fetched.filter((name) => name.startsWith('@kvasir/'))).toEqual([
      `@kvasir/${system.name}`,
    ]);
    const installed = join(project.folder, 'node_modules/kvasir');
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    expect(manifest.scripts).toBeUndefined();
    expect(existsSync(join(installed, 'binding.gyp'))).toBe(false);
    expect(
      Object.keys(manifest.dependencies).filter((name) => /cmake|gyp|bindings|node-api/.test(name)),
    ).toEqual([]);
    expect(project.bytes('node_modules')).toBeLessThan(mostBytes);
  });

  it('has its JavaScript in few files, which share what they import', async () => {
    const dist = join(project.folder, 'node_modules/kvasir/dist');
    const files = readdirSync(dist, { recursive: true, encoding: 'utf8' });
    expect(files.filter((name) => name.endsWith('.js')).length).toBeLessThan(60);
    expect(files).toContain('index.d.ts');
    const { stdout, stderr } = await project.run('node', [
      '--input-type=module',
      '-e',
      `import { KvasirError } from 'kvasir';
       import { createHandler } from 'kvasir/server';
       try { createHandler(5); } catch (error) { console.log(error instanceof KvasirError, error.constructor.name, error.code); }`,
    ]);
    expect(stdout, stderr).toBe('true KvasirError INVALID_OPTION\n');
  });

  it('gives a command that generates', async () => {
    const { status, stdout, stderr } = await project.run('npx', generate);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/\w+ \w+ \w+/);
  });

  it('gives a module to import and require, whose addon is the package', async () => {
    const print = 'console.log(typeof k.Model.load)';
    const viaImport = await project.run('node', [
      '--input-type=module',
      '-e',
      `import * as k from 'kvasir'; ${print}`,
    ]);
    expect(viaImport.stdout, viaImport.stderr).toBe('function\n');
    const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
    if (major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)) {
      const viaRequire = await project.run('node', ['-e', `const k = require('kvasir'); ${print}`]);
      expect(viaRequire.stdout, viaRequire.stderr).toBe('function\n');
    }
    const doctor = await project.run('npx', ['kvasir', 'doctor', '--json']);
    expect(JSON.parse(doctor.stdout).addon.path).toBe(join(addonFolder(), system.name, 'kvasir.node'));
  });
});

describe('without the package of the system', { timeout: 120_000 }, () => {
  it('names it and the command that installs it, and the command does', async () => {
    rmSync(addonFolder(), { recursive: true });
    const { status, stderr } = await project.run('npx', generate);
    expect(status).toBe(1);
    expect(stderr).toContain(
      `The package @kvasir/${system.name}, which holds the native addon, is not installed`,
    );
    const command = /Install it: npm (.*) \[ADDON_MISSING\]/.exec(stderr)?.[1];
    expect(command, stderr).toBeDefined();
    const mended = await project.run('npm', command!.split(' '));
    expect(mended.status, mended.stderr).toBe(0);
    const again = await project.run('npx', generate);
    expect(again.status, again.stderr).toBe(0);
  });

  it('says so of an addon that cannot be loaded, and how to build one', async () => {
    const addon = join(addonFolder(), system.name, 'kvasir.node');
    const kept = `${addon}.kept`;
    renameSync(addon, kept);
    project.write(`node_modules/@kvasir/${system.name}/kvasir.node`, 'no addon');
    try {
      const { status, stderr } = await project.run('npx', generate);
      expect(status).toBe(1);
      expect(stderr).toMatch(/cannot be loaded .*Build it from source: npx kvasir build \[ADDON_MISSING\]/);
    } finally {
      renameSync(kept, addon);
    }
  });
});

describe('esbuild', () => {
  const program = `
    import { Model } from 'kvasir';
    async function main() {
      const model = await Model.load('stories-260k');
      const { text } = await model.generate('Once upon a time', { maxTokens: 8, temperature: 0 });
      const responseFormat = { type: 'choice', choices: ['yes', 'no'] };
      const { object } = await model.generate('Is it so?', { maxTokens: 8, responseFormat });
      console.log(text.trim().length > 0, responseFormat.choices.includes(object));
      await model.dispose();
    }
    main().catch((error) => console.log(error.code, error.message));`;

  const bundle = async (format: 'esm' | 'cjs', external: string[]) => {
    const entry = project.write('app.mjs', program);
    const file = join(
      project.folder,
      'dist',
      external.length > 0 ? 'external' : 'inside',
      format === 'esm' ? 'app.mjs' : 'app.cjs',
    );
    // A bundle of modules has no require, which some packages call for Node's own modules.
    const banner =
      "import { createRequire as from } from 'node:module'; const require = from(import.meta.url);";
    await build({
      ...{ entryPoints: [entry], outfile: file, format, external, bundle: true, platform: 'node' },
      logLevel: 'error',
      ...(format === 'esm' && { banner: { js: banner } }),
    });
    return file;
  };

  it.each([
    ['esm', ['kvasir']],
    ['cjs', ['kvasir']],
    ['esm', []],
    ['cjs', []],
  ] as const)('makes a %s bundle (external: %s) that generates', async (format, external) => {
    const { stdout, stderr } = await project.run('node', [await bundle(format, [...external])]);
    expect(stdout, stderr).toBe('true true\n');
  });

  it('makes one that says what it lacks where the package is not installed', async () => {
    const file = await bundle('esm', []);
    const elsewhere = join(packed.out, 'app.mjs');
    renameSync(file, elsewhere);
    const { stdout } = await project.run('node', [elsewhere], { cwd: packed.out });
    expect(stdout).toMatch(/^\w+ .*leave 'kvasir' external/);
  });
});
