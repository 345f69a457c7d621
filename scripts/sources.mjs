// Reads native/sources.txt, the one list of compiled sources. As a command, for binding.gyp, it prints the sources of the
// given kinds, `node scripts/sources.mjs core isa:scalar`, or with --cuda-abi the hash of the headers that cross to the
// CUDA library. Node built-ins only: this runs before `npm ci`.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMain } from './command.mjs';

/** @returns {{ kind: string, path: string }[]} paths relative to native/ */
export function readSources(root) {
  const sources = [];
  for (const line of readFileSync(join(root, 'native', 'sources.txt'), 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [kind, path, ...more] = line.split(/ +/);
    if (!path || more.length > 0) throw new Error(`native/sources.txt: cannot read the line '${line}'`);
    sources.push({ kind, path });
  }
  return sources;
}

const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/** KVASIR_CUDA_ABI: what both sides of the border to the CUDA library must have in common. CMakeLists.txt computes it too. */
export function cudaAbi(root) {
  const headers = readSources(root).filter(({ kind }) => kind === 'border');
  return sha256(headers.map(({ path }) => sha256(readFileSync(join(root, 'native', path)))).join(''));
}

if (isMain(import.meta.url)) {
  const kinds = process.argv.slice(2);
  const root = fileURLToPath(new URL('..', import.meta.url));
  const wanted = readSources(root).filter(({ kind }) => kinds.includes(kind));
  if (kinds[0] === '--cuda-abi') process.stdout.write(`${cudaAbi(root)}\n`);
  else process.stdout.write(wanted.map(({ path }) => `native/${path}\n`).join(''));
}
