// `npm run package [-- <system>...]`: makes, checks and packs what is published, in build/package/tarballs: `kvasir` and a
// package for each system, cross-compiled here (scripts/package/targets.mjs). The first build for a system takes minutes,
// later ones what has changed. Needs CMake, Ninja, python3 with pip, and the Python package index once.
// scripts/try-packages.mjs runs what it makes.
import { rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isMain, runMain } from './command.mjs';
import { checkAddon, newestVersion } from './package/check.mjs';
import { crossBuild } from './package/cross-build.mjs';
import { packageFolder, packMain, packPlatform, tarballFolder } from './package/pack.mjs';
import { chooseTargets, targets } from './package/targets.mjs';
import { installZig } from './package/zig.mjs';
import { compileTypeScript, installDependencies, projectRoot } from './setup.mjs';
import { SetupError } from './toolchain.mjs';

const root = projectRoot;
const say = (text) => process.stdout.write(`${text}\n`);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;

async function makePlatform(target, zig) {
  const addon = await crossBuild(root, target, zig);
  const { problems, facts } = checkAddon(root, addon, target);
  if (problems.length > 0) {
    throw new SetupError(`The addon for ${target.name} cannot be published:\n  ${problems.join('\n  ')}`);
  }
  const staging = join(packageFolder(root), 'staging', target.name);
  const tarball = await packPlatform(root, { target, addon, staging, out: tarballFolder(root) });
  const newest = newestVersion(facts.versions);
  const needs = [...facts.needed, ...(newest ? [`glibc ${newest}`] : [])].join(', ');
  const size = `${megabytes(statSync(tarball).size)}, addon ${megabytes(facts.bytes)}`;
  say(`${basename(tarball)}: ${size}; needs ${needs}`);
}

async function main() {
  const chosen = chooseTargets(process.argv.slice(2));
  await installDependencies(root);
  await compileTypeScript(root);
  const zig = await installZig(root);
  // Of an older version, they would be published with those of this one.
  if (chosen === targets) rmSync(tarballFolder(root), { recursive: true, force: true });
  for (const target of chosen) await makePlatform(target, zig);
  const tarball = await packMain(root, join(packageFolder(root), 'staging', 'kvasir'), tarballFolder(root));
  say(`${basename(tarball)}: ${megabytes(statSync(tarball).size)}`);
}

if (isMain(import.meta.url)) await runMain(main);
