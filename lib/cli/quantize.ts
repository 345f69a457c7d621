/** `kvasir quantize`: writes the INT8 form of a model, so that later loads skip the work. */
import type { Command } from 'commander';
import { type QuantizeResult, quantizeModel } from '../quantize.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import type { Interrupts } from './interrupt.js';
import { say, writeData, writeJson } from './output.js';
import { createProgress } from './progress.js';
import { size } from './report.js';

const help = `
The folder is a model like any other: kvasir run <out>. It loads in a fraction of the time, on every instruction set, and
computes the same bits as the source with --dtype int8. It has no other weights: --dtype fp32 needs the source.
<out> must not exist, or be an empty folder; it appears whole or not at all. Its path goes to stdout.`;

export function registerQuantize(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('quantize')
    .description('write the INT8 form, so that later loads skip the work')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .argument('<out>', 'the folder to write')
    .addHelpText('after', help)
    .action((reference: string, out: string, flags: Record<string, unknown>) =>
      quantize(reference, out, flags, interrupts),
    );
  addLoadFlags(command, ['threads']).option('--json', 'print one JSON object');
}

async function quantize(
  reference: string,
  out: string,
  flags: Record<string, unknown>,
  interrupts: Interrupts,
): Promise<void> {
  const { threads } = loadOptionsOf(flags);
  const progress = createProgress();
  const result = await quantizeModel(reference, out, {
    threads,
    signal: interrupts.signal,
    onProgress: (state) => progress.report(state),
  }).finally(() => progress.stop());
  if (flags.json) await writeJson(result);
  else await writeData(`${result.folder}\n`);
  if (!interrupts.outputGone) say(summary(result));
}

function summary({ model, files, sourceDtype, sourceBytes }: QuantizeResult): string {
  const weights = files.find(({ path }) => path.endsWith('.safetensors'))!;
  return `${model}: ${size(sourceBytes)} of ${sourceDtype} weights became ${size(weights.bytes)} of INT8`;
}
