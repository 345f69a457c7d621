// llama.cpp's own benchmark program: its arguments, one run of it, and its JSON as a driver's answer.
import { run } from '../command.mjs';

/** @typedef {import('./works.mjs').Work} Work */

/**
 * One repetition of one work. Decode starts at the depth of the work's prompt, as the other engines' does.
 * @param {Work} work
 * @param {{ model: string, flash: boolean, threads: number }} options
 */
export function benchArguments({ quantity, prompt, tokens }, { model, flash, threads }) {
  const kind = quantity === 'prefill' ? ['-p', prompt, '-n', 0] : ['-p', 0, '-n', tokens - 1, '-d', prompt];
  // A warm-up repeats the whole prompt: worth it for a short one only.
  const warmUp = quantity === 'prefill' && prompt > 1024 ? ['--no-warmup'] : [];
  return ['-m', model, '-t', threads, ...kind, '-fa', flash ? 1 : 0, '-r', 1, ...warmUp, '-o', 'json'].map(
    String,
  );
}

/**
 * The answer of a driver from what llama-bench printed, whatever else is in it before the JSON.
 * Throws when it is not the one test that was asked for.
 * @param {string} text
 * @param {Work} work
 */
export function parseBench(text, { quantity, prompt, tokens }) {
  const start = text.search(/^\[/m);
  const end = text.search(/^\]/m);
  if (start < 0 || end < start) throw new Error(`llama-bench printed no JSON: ${text.slice(-300)}`);
  const tests = JSON.parse(text.slice(start, end + 1));
  if (tests.length !== 1) throw new Error(`llama-bench ran ${tests.length} tests instead of one`);
  const [test] = tests;
  const expected = quantity === 'prefill' ? [prompt, 0, 0] : [0, tokens - 1, prompt];
  const actual = [test.n_prompt, test.n_gen, test.n_depth];
  if (actual.join() !== expected.join()) throw new Error(`llama-bench ran ${actual}, not ${expected}`);
  const [nanoseconds] = test.samples_ns;
  if (!(nanoseconds > 0)) throw new Error(`llama-bench measured ${nanoseconds} ns`);
  const seconds = nanoseconds / 1e9;
  return quantity === 'prefill'
    ? { firstTokenSeconds: seconds, decodeSeconds: 0 }
    : { firstTokenSeconds: 0, decodeSeconds: seconds };
}

/** Ends with the measurement, so nothing of it idles beside the others. */
export class LlamaBench {
  constructor({ program, libraries, model, flash, threads }) {
    this.program = program;
    this.libraries = libraries;
    this.options = { model, flash, threads };
  }

  async measure(work) {
    const env = { ...process.env, LD_LIBRARY_PATH: this.libraries };
    const { status, output } = await run(this.program, benchArguments(work, this.options), { env });
    if (status !== 0) throw new Error(`llama-bench ended with ${status}: ${output.slice(-300)}`);
    return parseBench(output, work);
  }

  close() {}
}
