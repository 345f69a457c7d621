/** A generation to stdout, as it comes. */
import type { Generation, GenerationResult } from '../engine/run.js';
import { writeData } from './output.js';
import type { WordWrap } from './word-wrap.js';

/**
 * @param quiet only wait for the result, for `--json`.
 * @param wrap breaks lines between words, for a terminal.
 */
export async function streamText(
  run: Generation,
  quiet: boolean,
  wrap?: WordWrap,
): Promise<GenerationResult> {
  if (!quiet) for await (const { text } of run) await writeData(wrap ? wrap.push(text) : text);
  const result = await run;
  if (!quiet && wrap) await writeData(wrap.flush());
  if (!quiet && !result.text.endsWith('\n')) await writeData('\n');
  return result;
}
