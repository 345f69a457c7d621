/** `kvasir models`: what is in the cache, and out with it. */
import type { Command } from 'commander';
import { listCachedModels, removeCachedModel } from '../hub/cached-models.js';
import { cacheRoot } from '../hub/cache.js';
import { modelAliases } from '../hub/index.js';
import { say, writeData, writeJson } from './output.js';
import { size } from './report.js';

const help = `
Lists the models in the Hugging Face cache with their size on the disk. "kvasir models remove <model>" deletes one; the
Python tools, which share the cache, lose it too.`;

export function registerModels(program: Command): void {
  const models = program
    .command('models')
    .description('the models in the cache: list, remove')
    .option('--json', 'print one JSON object')
    .addHelpText('after', help)
    .action((flags: { json?: boolean }) => list(flags));
  models
    .command('remove')
    .alias('rm')
    .description('delete a model from the cache')
    .argument('<model>', 'alias or hf:org/name')
    .option('--json', 'print one JSON object')
    .action((reference: string, _: unknown, command: Command) =>
      remove(reference, command.optsWithGlobals()),
    );
}

async function list({ json }: { json?: boolean }): Promise<void> {
  const models = await listCachedModels();
  const bytes = models.reduce((sum, one) => sum + one.bytes, 0);
  if (json) {
    await writeJson({ cache: cacheRoot(), bytes, models, aliases: modelAliases });
    return;
  }
  const width = Math.max(0, ...models.map(({ model }) => model.length));
  const lines = models.map(({ model, bytes: own, modifiedAt }) => {
    const day = new Date(modifiedAt).toISOString().slice(0, 10);
    return `${model.padEnd(width)}  ${size(own).padStart(10)}  ${day}\n`;
  });
  await writeData(lines.join(''));
  say(
    `${models.length} ${models.length === 1 ? 'model' : 'models'}, ${size(bytes)} in ${cacheRoot()}. Aliases: ${modelAliases.join(', ')}.`,
  );
}

async function remove(reference: string, { json }: { json?: boolean }): Promise<void> {
  const removed = await removeCachedModel(reference);
  if (json) await writeJson({ removed });
  else await writeData(removed.map(({ folder }) => `${folder}\n`).join(''));
  say(`${size(removed.reduce((sum, one) => sum + one.bytes, 0))} freed.`);
}
