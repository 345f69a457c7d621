// The JavaScript of a package in a few files: Node reads some three hundred modules no faster than a third of a second, and
// as many again on each thread. Types stay as they are.
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

/** Below dist/: what runs on a thread or in a process of its own (`compiledFile` of lib/package-root.ts). */
export const ownThreads = [
  'compare/memory-probe.js',
  'structure/conversion-worker.js',
  'tokenizer/worker.js',
];

/** @param {{ exports: Record<string, string | { default: string }>, bin: Record<string, string> }} manifest */
export function entriesOf({ exports, bin }) {
  const exported = Object.values(exports).map((entry) => (typeof entry === 'string' ? entry : entry.default));
  return [...exported, ...Object.values(bin)]
    .map((path) => /^(?:\.\/)?dist\/(.*\.js)$/.exec(path)?.[1])
    .filter((path) => path !== undefined)
    .concat(ownThreads);
}

/**
 * Puts bundles in the place of all JavaScript below dist/: one file for each entry, under its name, and what entries share
 * beside them. Packages stay outside.
 * @param {string} folder of a package, with package.json and dist/
 */
export async function bundleDist(folder, manifest) {
  const dist = join(folder, 'dist');
  const bundled = mkdtempSync(join(folder, 'bundled-'));
  await build({
    absWorkingDir: dist,
    entryPoints: entriesOf(manifest),
    outdir: bundled,
    outbase: dist,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    // Files of the package are found beside a file of dist/ itself (lib/package-root.ts).
    chunkNames: '[name]-[hash]',
    // Names of classes and functions are seen by callers, in errors and stacks.
    keepNames: true,
    logLevel: 'warning',
  });
  for (const name of readdirSync(dist, { recursive: true })) {
    if (name.endsWith('.js')) rmSync(join(dist, name));
  }
  cpSync(bundled, dist, { recursive: true });
  rmSync(bundled, { recursive: true });
}
