/** The place of a page that a command writes at its end. */
import { resolveModel } from '../hub/index.js';
import { OutputFile } from './output-file.js';

/** It never takes the place of the model or of what else is read. */
export async function reservePage(
  path: string,
  reference: string,
  others: readonly string[] = [],
): Promise<OutputFile> {
  // What is not here yet, or is no model, is for who loads it to say.
  const files = await resolveModel(reference, { download: false }).catch(() => undefined);
  const paths = Object.values(files ?? {})
    .flat()
    .filter((one) => typeof one === 'string');
  return OutputFile.reserve(path, '--html', [...paths, ...others]);
}
