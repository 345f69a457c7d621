/** `kvasir merge`: writes a model with a LoRA adapter in its weights. */
import { type Command, Option } from 'commander';
import { type MergeOptions, mergeModel } from '../merge.js';
import type { Interrupts } from './interrupt.js';
import { say, writeData, writeJson } from './output.js';
import { createProgress } from './progress.js';
import { size } from './report.js';

const help = `
The folder is a model like any other: kvasir run <out>. It computes what the model with its adapter does, but for the rounding
to the dtype of the weights; --dtype fp32 rounds nothing. <out> must not exist, or be an empty folder; it appears whole or not
at all. Its path goes to stdout.`;

export function registerMerge(program: Command, interrupts: Interrupts): void {
  program
    .command('merge')
    .description('write a model with a LoRA adapter in its weights')
    .argument('<model>', 'alias, folder or hf:org/name, as safetensors')
    .argument('<adapter>', 'a folder that PEFT saved, or a .gguf file')
    .argument('<out>', 'the folder to write')
    .addOption(
      new Option('--dtype <dtype>', 'of the weights: source (the default) or fp32').choices([
        'source',
        'fp32',
      ]),
    )
    .option('--json', 'print one JSON object')
    .addHelpText('after', help)
    .action((model: string, adapter: string, out: string, flags: MergeFlags) =>
      merge([model, adapter, out], flags, interrupts),
    );
}

interface MergeFlags {
  dtype?: MergeOptions['dtype'];
  json?: boolean;
}

async function merge(
  [model, adapter, out]: readonly [string, string, string],
  { dtype, json }: MergeFlags,
  interrupts: Interrupts,
): Promise<void> {
  const progress = createProgress();
  const result = await mergeModel(model, adapter, out, {
    dtype,
    signal: interrupts.signal,
    onProgress: (state) => progress.report(state),
  }).finally(() => progress.stop());
  if (json) await writeJson(result);
  else await writeData(`${result.folder}\n`);
  if (!interrupts.outputGone)
    say(`${result.changed} tensors of ${result.model} changed; ${size(result.bytes)} of weights`);
}
