/** A generation to stdout, as it comes. */
import type { Generation, GenerationChunk, GenerationResult } from '../engine/run.js';
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
  if (!quiet) for await (const text of shownTexts(run)) await writeData(wrap ? wrap.push(text) : text);
  const result = await run;
  if (!quiet && wrap) await writeData(wrap.flush());
  if (!quiet && !result.text.endsWith('\n')) await writeData('\n');
  return result;
}

/** Texts of an answer; an empty line parts thoughts from what follows them. */
export async function* shownTexts(chunks: AsyncIterable<GenerationChunk>): AsyncGenerator<string> {
  let isThought = false;
  for await (const { type, text } of chunks) {
    if (text === '') continue;
    yield isThought && type === 'text' ? `\n\n${text}` : text;
    isThought = type === 'reasoning';
  }
}

/** The texts beside the first one, each under a line with its number. */
export async function writeOthers({ choices = [] }: GenerationResult): Promise<void> {
  for (const [i, { text }] of choices.entries()) {
    if (i > 0) await writeData(`--- ${i + 1} ---\n${text}${text.endsWith('\n') ? '' : '\n'}`);
  }
}
