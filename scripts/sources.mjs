// Reads native/sources.txt, the one list of compiled sources. As a command it prints the sources of the given kinds,
// for binding.gyp: `node scripts/sources.mjs core isa:scalar`. Node built-ins only: this runs before `npm ci`.
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

if (isMain(import.meta.url)) {
  const kinds = process.argv.slice(2);
  const root = fileURLToPath(new URL('..', import.meta.url));
  const wanted = readSources(root).filter(({ kind }) => kinds.includes(kind));
  process.stdout.write(wanted.map(({ path }) => `native/${path}\n`).join(''));
}
