/** Data to stdout; everything that is about the data to stderr. */

/** Resolves when the reader can take more, or is gone. */
export function writeData(text: string): Promise<void> {
  const { stdout } = process;
  return new Promise((resolve) => {
    if (text === '' || stdout.destroyed) return resolve();
    // The callback also comes, with an error, when it cannot be written; the event that tells Interrupts comes after it.
    stdout.write(text, (error) => (error ? setImmediate(resolve) : resolve()));
  });
}

/** The one object of `--json`. */
export function writeJson(value: unknown): Promise<void> {
  return writeData(`${JSON.stringify(value)}\n`);
}

/** One line for the person at the terminal. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
