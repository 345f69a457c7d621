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

let quiet = false;

/** `--quiet`: from now on `say` says nothing, and there are no progress bars. */
export function beQuiet(): void {
  quiet = true;
}

export function isQuiet(): boolean {
  return quiet;
}

/** News for the person at the terminal: statistics, what was done. */
export function say(line: string): void {
  if (!quiet) tell(line);
}

/** What has to be said: errors, and answers to what the person asked. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
