// Progress lines of the set-up on stderr: one line that is rewritten in a terminal, sparse whole lines elsewhere.
// Node built-ins only: this runs before `npm ci`.

const sparseIntervalMs = 15_000;

/** `[3/10]` of ninja and `[ 30%]` of make, as a fraction. */
export function buildFraction(line) {
  const ninja = /^\[(\d+)\/(\d+)\]/.exec(line);
  if (ninja) return Number(ninja[1]) / Number(ninja[2]);
  const make = /^\[ *(\d+)%\]/.exec(line);
  return make ? Number(make[1]) / 100 : undefined;
}

/** A step that has nothing to do. */
export function sayUpToDate(title, stream = process.stderr) {
  stream.write(`  ${title}: up to date\n`);
}

/** One step of the set-up: `update` as it goes, then `done` or `fail`. */
export class Step {
  constructor(title, stream = process.stderr) {
    this.title = title;
    this.stream = stream;
    this.started = performance.now();
    this.lastShown = this.started;
    this.stream.write(stream.isTTY ? `  ${title} ...` : `  ${title} ...\n`);
  }

  update(text) {
    const now = performance.now();
    if (this.stream.isTTY) this.#rewrite(`  ${this.title} ... ${text}`);
    else if (now - this.lastShown >= sparseIntervalMs) this.stream.write(`  ${this.title} ... ${text}\n`);
    else return;
    this.lastShown = now;
  }

  /** @param {string} [note] */
  done(note = '') {
    const seconds = ((performance.now() - this.started) / 1000).toFixed(1);
    this.#end(`  ${this.title}: done in ${seconds} s${note && `, ${note}`}`);
  }

  fail() {
    this.#end(`  ${this.title}: failed`);
  }

  #end(text) {
    if (this.stream.isTTY) this.#rewrite(`${text}\n`);
    else this.stream.write(`${text}\n`);
  }

  #rewrite(text) {
    const width = this.stream.columns ?? 80;
    this.stream.write(`\r\x1b[2K${text.length > width ? text.slice(0, width - 1) : text}`);
  }
}
