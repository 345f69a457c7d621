/** How a GGUF file says that the tokens of a text become one vector: `<architecture>.pooling_type`. */
import type { MetadataValue } from '../native.js';
import { type EmbedDefaults, plainDefaults } from './embed-options.js';
import type { Pooling } from './pooling.js';

type Metadata = Readonly<Record<string, MetadataValue>>;

/** By its number; 0 says that there is none. */
const poolings: readonly (Pooling | undefined)[] = [undefined, 'mean', 'cls', 'last'];

function poolingType(metadata: Metadata): number {
  return Number(metadata[`${metadata['general.architecture']}.pooling_type`] ?? 0);
}

/** Whether a file names a pooling that is known. */
export function saysPooling(metadata: Metadata): boolean {
  return poolings[poolingType(metadata)] !== undefined;
}

/** Of a file that says nothing, those of a plain model. */
export function ggufEmbedDefaults(metadata: Metadata): EmbedDefaults {
  const given = poolingType(metadata);
  if (given === 0) return plainDefaults;
  const pooling = poolings[given];
  if (pooling === undefined) return { ...plainDefaults, unsupported: `the pooling type ${given}` };
  return { ...plainDefaults, pooling };
}
