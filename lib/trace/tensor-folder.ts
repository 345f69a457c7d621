/** Where a trace's tensors go: into memory, or into a folder while the text is computed. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWholeFile } from '../out-file.js';
import { layerCount } from '../spec.js';
import { tensorsName } from './folder-names.js';
import { TensorFile } from './tensor-file.js';
import { FileStore, MemoryStore, type TensorStore } from './tensor-store.js';
import type { Traced } from './text-run.js';
import type { Trace } from './trace.js';
import { traceTensorNames } from './trace-options.js';

/** Nothing of a trace that fails is left in the folder. Throws what the file system says. */
export async function intoStore(
  folder: string | undefined,
  { spec }: Traced,
  build: (store: TensorStore, file: string | undefined) => Promise<Trace>,
): Promise<Trace> {
  if (folder === undefined) return build(new MemoryStore(), undefined);
  await mkdir(folder, { recursive: true });
  const path = join(folder, tensorsName);
  let trace!: Trace;
  await writeWholeFile(path, async (partial) => {
    const file = await TensorFile.create(partial, (layerCount(spec) + 1) * traceTensorNames.length);
    try {
      trace = await build(new FileStore(file, path), path);
    } finally {
      await file.close();
    }
  });
  await trace.save(folder, { formats: [] });
  return trace;
}
