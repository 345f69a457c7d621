// Remembers what a build step was made from, by content: a second start does no work twice, and a touched but
// unchanged file costs nothing. Node built-ins only: this runs before `npm ci`.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** All files under the given files and folders, sorted; what does not exist is left out. */
export function listFiles(root, paths, skip = () => false) {
  const found = [];
  const visit = (path) => {
    const name = relative(root, path);
    if (!existsSync(path) || skip(name)) return;
    if (statSync(path).isDirectory()) for (const entry of readdirSync(path)) visit(join(path, entry));
    else found.push(name);
  };
  for (const path of paths) visit(join(root, path));
  return found.sort();
}

/** Content hash of files (by name and bytes) and of the plain facts beside them, such as the Node version. */
export function hashInputs(root, files, facts = {}) {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(facts));
  for (const name of files) {
    const bytes = readFileSync(join(root, name));
    hash.update(`\0${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

/** What a file on disk is now: a product that was replaced or rebuilt by hand no longer matches its stamp. */
function identity(root, products) {
  return products.map((name) => {
    const path = join(root, name);
    if (!existsSync(path)) return `${name} missing`;
    const { size, mtimeMs } = statSync(path);
    return `${name} ${size} ${mtimeMs}`;
  });
}

export class Stamp {
  /**
   * @param {string} root of the checkout
   * @param {string} name the stamp is build/.stamp-<name>
   * @param {string[]} products files that the step makes
   */
  constructor(root, name, products) {
    this.root = root;
    this.path = join(root, 'build', `.stamp-${name}`);
    this.products = products;
  }

  isCurrent(hash) {
    if (!existsSync(this.path)) return false;
    if (this.products.some((name) => !existsSync(join(this.root, name)))) return false;
    return readFileSync(this.path, 'utf8') === this.#text(hash);
  }

  write(hash) {
    mkdirSync(dirname(this.path), { recursive: true });
    writeFileSync(this.path, this.#text(hash));
  }

  /** Before the work: a step that is cut off must be done again. */
  clear() {
    rmSync(this.path, { force: true });
  }

  #text(hash) {
    return `${[hash, ...identity(this.root, this.products)].join('\n')}\n`;
  }
}
