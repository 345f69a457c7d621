/** `--adapter`: a LoRA adapter for all that a command generates. */
import { Option } from 'commander';
import type { Adapter } from '../lora/adapter.js';
import type { Model } from '../model.js';

export const adapterFlag = new Option(
  '--adapter <path>',
  'LoRA adapter: a folder that PEFT saved, or a .gguf file',
);

/** As options of `generate`. Throws what `loadAdapter` throws. */
export async function adapterOf(
  model: Model,
  { adapter }: Readonly<Record<string, unknown>>,
): Promise<{ adapter?: Adapter }> {
  return adapter === undefined ? {} : { adapter: await model.loadAdapter(String(adapter)) };
}
