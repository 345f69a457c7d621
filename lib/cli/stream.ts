/** A generation to stdout, as it comes. */
import type { Generation, GenerationResult } from '../engine/run.js';
import { writeData } from './output.js';

/** @param quiet only wait for the result, for `--json`. */
export async function streamText(run: Generation, quiet: boolean): Promise<GenerationResult> {
  if (!quiet) for await (const { text } of run) await writeData(text);
  const result = await run;
  if (!quiet && !result.text.endsWith('\n')) await writeData('\n');
  return result;
}
