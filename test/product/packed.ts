/** The packages as they are published, with the checkout's own addon, packed for a registry on this machine. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemName } from '../../lib/addon/platform.js';
import { packageRoot } from '../../lib/package-root.js';
import { packMain, packPlatform, platformManifest, readManifest } from '../../scripts/package/pack.mjs';
import { targets } from '../../scripts/package/targets.mjs';
import { type Contents, type Registry, serveRegistry } from './local-registry.js';

export const root = packageRoot.replace(/\/$/, '');
export const system = targets.find(({ name }) => name === systemName())!;

export interface Packed {
  /** Where the packages lie. */
  out: string;
  registry: Registry;
  remove(): void;
}

/** @param alsoPacked systems whose packages are there with an addon in them, which is not for them */
export async function servePacked(
  contents: Partial<Contents>,
  alsoPacked: readonly string[] = [],
): Promise<Packed> {
  const out = mkdtempSync(join(tmpdir(), 'kvasir-packed-'));
  const addon = join(root, 'build/Release/kvasir.node');
  const tarballs = [await packMain(root, join(out, 'kvasir'), out)];
  const isPacked = ({ name }: { name: string }) => name === system.name || alsoPacked.includes(name);
  for (const target of targets.filter(isPacked)) {
    tarballs.push(await packPlatform(root, { target, addon, staging: join(out, target.name), out }));
  }
  const manifest = readManifest(root);
  const listed = targets
    .filter((target) => !isPacked(target))
    .map((other) => platformManifest(manifest, other));
  const registry = await serveRegistry({ tarballs, listed, ...contents });
  const remove = () => {
    registry.close();
    rmSync(out, { recursive: true, force: true });
  };
  return { out, registry, remove };
}
