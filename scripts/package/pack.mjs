// Lays the packages out and packs them. What `kvasir` publishes differs from the checkout's own package.json in two things:
// no script at all runs on a user's machine, and `optionalDependencies` name a package for each system. They are added here
// alone, so that `npm ci` of a checkout asks no registry for them.
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { npmCommand, run } from '../command.mjs';
import { SetupError } from '../toolchain.mjs';
import { bundleDist } from './bundle.mjs';
import { packageName, targets } from './targets.mjs';

/** Of a tarball, and of an addon. */
export const mostBytes = 5_000_000;

/** Where `npm run package` builds. */
export const packageFolder = (root) => join(root, 'build', 'package');
export const tarballFolder = (root) => join(packageFolder(root), 'tarballs');

/** The file that a package of a version is packed into. */
export const tarballName = ({ name, version }) => `${name.replace('@', '').replace('/', '-')}-${version}.tgz`;

export const readManifest = (root) => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** The manifest that is published of the checkout's own. */
function publishedManifest(manifest) {
  const { scripts: _, ...published } = manifest;
  const platforms = targets.map((target) => [packageName(target), manifest.version]);
  // The addon opens models that lie in the package, and cannot look into an archive.
  return { ...published, optionalDependencies: Object.fromEntries(platforms), preferUnplugged: true };
}

/** The manifest of a system's package. */
export function platformManifest({ version, license, repository, homepage, bugs, engines }, target) {
  const { os, cpu, libc } = target;
  return {
    name: packageName(target),
    version,
    description: `The native addon of kvasir for ${target.name}`,
    license,
    repository,
    homepage,
    bugs,
    os: [os],
    cpu: [cpu],
    ...(libc && { libc: [libc] }),
    main: './kvasir.node',
    files: ['kvasir.node'],
    // A file inside an archive cannot be opened as a library.
    preferUnplugged: true,
    engines,
  };
}

const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

async function npm(args, cwd) {
  const [command, ...first] = npmCommand();
  const { status, output } = await run(command, [...first, ...args], { cwd });
  if (status !== 0) throw new SetupError(`${output.trimEnd()}\n\nnpm ${args[0]} failed in ${cwd}.`);
  return output;
}

/** @throws SetupError with what tar says */
export async function tar(args) {
  const { status, output } = await run('tar', args);
  if (status !== 0) throw new SetupError(`${output.trimEnd()}\n\ntar ${args.join(' ')} failed.`);
}

/** @returns {Promise<string>} the tarball of `package/` in a folder */
async function packStaged(staging, manifest, out) {
  mkdirSync(out, { recursive: true });
  const tarball = join(out, tarballName(manifest));
  await tar(['-czf', tarball, '-C', staging, 'package']);
  const bytes = statSync(tarball).size;
  if (bytes > mostBytes) throw new SetupError(`${tarball} has ${bytes} bytes, of at most ${mostBytes}.`);
  return tarball;
}

/**
 * What npm packs of the checkout, its JavaScript in bundles, under the manifest that is published.
 * @param {string} root of the checkout, with dist/
 * @param {string} staging folder that is written anew
 * @param {string} out of the tarball
 */
export async function packMain(root, staging, out) {
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const printed = await npm(['pack', '--ignore-scripts', '--silent', '--pack-destination', staging], root);
  const packed = join(staging, printed.trim().split('\n').at(-1));
  await tar(['-xzf', packed, '-C', staging]);
  const manifest = publishedManifest(readManifest(root));
  writeJson(join(staging, 'package', 'package.json'), manifest);
  await bundleDist(join(staging, 'package'), manifest);
  return packStaged(staging, manifest, out);
}

/** Like `packMain`, of a system's package. */
export async function packPlatform(root, { target, addon, staging, out }) {
  rmSync(staging, { recursive: true, force: true });
  const folder = join(staging, 'package');
  mkdirSync(folder, { recursive: true });
  const manifest = platformManifest(readManifest(root), target);
  writeJson(join(folder, 'package.json'), manifest);
  cpSync(addon, join(folder, 'kvasir.node'));
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  const about = `The native addon of [kvasir](https://www.npmjs.com/package/kvasir) for ${target.name}.`;
  writeFileSync(
    join(folder, 'README.md'),
    `# ${manifest.name}\n\n${about} Install \`kvasir\`, which brings the package\nof your system.\n`,
  );
  return packStaged(staging, manifest, out);
}
