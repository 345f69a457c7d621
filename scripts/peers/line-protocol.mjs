// What the Node drivers share: one JSON request a line on stdin, one JSON answer a line on stdout; as in
// line_protocol.py, which says what they hold.
import { createInterface } from 'node:readline';

/**
 * Loads, says so, answers until stdin ends.
 * @param {() => Promise<{
 *   facts?: object,
 *   generate: (prompts: number[][], newTokens: number) =>
 *     Promise<{ firstTokenSeconds: number, decodeSeconds: number }>,
 * }>} load
 */
export async function serve(load) {
  const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  const failed = (error) => answer({ error: String(error?.message ?? error) });
  let engine;
  try {
    engine = await load();
  } catch (error) {
    failed(error);
    process.exit(1);
  }
  answer({ ready: true, ...engine.facts });
  for await (const line of createInterface({ input: process.stdin })) {
    const { prompts, newTokens } = JSON.parse(line);
    await engine.generate(prompts, newTokens).then(answer, failed);
  }
  // Native threads of an engine may still be there; nothing is left to be saved.
  process.exit(0);
}
