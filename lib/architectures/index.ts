/** The registry of families. A new one is a file here and a line in the table below. */
import { KvasirError } from '../errors.js';
import { GgufKeys, type GgufMetadata } from './gguf-keys.js';
import { gpt2FromConfig, gpt2FromGguf } from './gpt2.js';
import { llamaFromConfig, llamaFromGguf } from './llama.js';
import type { ArchitecturePlan } from './plan.js';

export type { ArchitecturePlan, TensorSlot } from './plan.js';

interface Family {
  fromConfig: (config: unknown) => ArchitecturePlan;
  fromGguf: (keys: GgufKeys, embeddingRows: number) => ArchitecturePlan;
}

/** Keyed by `model_type` of config.json and `general.architecture` of GGUF, which agree for these. */
const families: ReadonlyMap<string, Family> = new Map([
  ['llama', { fromConfig: llamaFromConfig, fromGguf: llamaFromGguf }],
  ['gpt2', { fromConfig: gpt2FromConfig, fromGguf: gpt2FromGguf }],
]);

export const supportedArchitectures: readonly string[] = [...families.keys()];

function family(name: unknown, where: string): Family {
  const found = typeof name === 'string' ? families.get(name) : undefined;
  if (found) return found;
  const said = name === undefined ? 'is missing' : `is ${JSON.stringify(name)?.slice(0, 60)}`;
  throw new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `${where} ${said}; supported architectures are ${supportedArchitectures.join(', ')}.`,
  );
}

/** From the parsed `config.json` of a Hugging Face folder. */
export function planFromConfig(config: Readonly<Record<string, unknown>>): ArchitecturePlan {
  return family(config.model_type, 'model_type in config.json').fromConfig(config);
}

/** From GGUF metadata; `embeddingRows` are the rows of the stored token table. */
export function planFromGguf(metadata: GgufMetadata, embeddingRows: number): ArchitecturePlan {
  const name = metadata['general.architecture'];
  const found = family(name, 'general.architecture in the GGUF file');
  return found.fromGguf(new GgufKeys(metadata, String(name)), embeddingRows);
}
