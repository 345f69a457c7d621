/** The pages of `npm run series`, written by its script, for the tests that read them. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { seriesFiles } from '../../lib/trace-page/series.js';

const script = fileURLToPath(new URL('../../scripts/series.mjs', import.meta.url));

/** @returns the pages' paths, from the first part to the last */
export async function writeSeries(model: string, folder: string): Promise<string[]> {
  await promisify(execFile)(process.execPath, [script, '--out', folder, model], { timeout: 500_000 });
  return seriesFiles.map((file) => join(folder, model, file));
}
