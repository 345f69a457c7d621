/** How a GGUF file says that the tokens of a text become one vector: `<architecture>.pooling_type`. */
import type { MetadataValue } from '../native.js';
import { type EmbedDefaults, plainDefaults } from './embed-options.js';
import type { Pooling } from './pooling.js';

/** By its number; 0 says that there is none. */
const poolings: readonly (Pooling | undefined)[] = [undefined, 'mean', 'cls', 'last'];

/** Of a file that says nothing, those of a plain model. */
export function ggufEmbedDefaults(metadata: Readonly<Record<string, MetadataValue>>): EmbedDefaults {
  const given = metadata[`${metadata['general.architecture']}.pooling_type`];
  if (given === undefined || given === 0) return plainDefaults;
  const pooling = poolings[Number(given)];
  if (pooling === undefined) return { ...plainDefaults, unsupported: `the pooling type ${given}` };
  return { ...plainDefaults, pooling };
}
