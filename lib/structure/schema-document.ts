/** A schema as a whole: what its references point to. Only references into the document itself are followed. */
import { cut, plainData } from '../given.js';
import { type Located, pointer, refused } from './facts.js';
import { isRecord } from './written-types.js';

/** Of a document without an `$id`. */
const ownAddress = 'schema://document/';

export class SchemaDocument {
  readonly root: unknown;
  /** By their absolute addresses: schemas with an `$id`, and anchors. */
  readonly #addresses = new Map<string, Located>();
  /** How many schemas have a dynamic anchor of a name. */
  readonly #dynamic = new Map<string, number>();
  /** Of schemas with an `$id`, by their paths. */
  readonly #bases = new Map<string, string>();

  /** Throws INVALID_OPTION for what is no plain data. */
  constructor(schema: unknown, where: string) {
    this.root = plainData(schema, where);
    this.#collect({ schema: this.root, path: '#' });
  }

  /** @param from where the reference stands. */
  resolve(reference: unknown, from: string, dynamic = false): Located {
    if (typeof reference !== 'string') throw refused(from, 'is no string');
    let address: string;
    try {
      address = new URL(reference, this.#baseOf(from)).href;
    } catch {
      throw refused(from, `is no reference (${reference})`);
    }
    const [base, fragment = ''] = address.split('#');
    const root = this.#addresses.get(base);
    if (!root) throw refused(from, `points to another document (${cut(reference)}), which is not supported`);
    if (fragment === '') return root;
    if (dynamic && (this.#dynamic.get(fragment) ?? 0) > 1)
      throw refused(from, 'has several anchors that it may mean, which is not supported');
    const found = fragment.startsWith('/') ? this.#at(root, fragment) : this.#addresses.get(address);
    if (found) return found;
    throw refused(from, `points to #${cut(fragment)}, which there is not`);
  }

  /** The address of the nearest schema around a path that has one. */
  #baseOf(path: string): string {
    for (let at = path; at.includes('/'); at = at.slice(0, at.lastIndexOf('/'))) {
      const base = this.#bases.get(at);
      if (base !== undefined) return base;
    }
    return this.#bases.get('#') ?? ownAddress;
  }

  #at(root: Located, fragment: string): Located | undefined {
    let { schema, path } = root;
    for (const part of fragment.slice(1).split('/')) {
      let key = part;
      try {
        key = decodeURIComponent(part);
      } catch {
        // As it stands.
      }
      key = key.replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof schema !== 'object' || schema === null || !Object.hasOwn(schema, key)) return undefined;
      schema = (schema as Record<string, unknown>)[key];
      path = pointer(path, key);
    }
    return { schema, path };
  }

  #collect(root: Located): void {
    this.#addresses.set(ownAddress, root);
    const open = [root];
    for (let next = open.pop(); next; next = open.pop()) {
      const { schema, path } = next;
      if (typeof schema !== 'object' || schema === null) continue;
      if (isRecord(schema)) this.#note(schema, next);
      for (const [key, value] of Object.entries(schema)) {
        // What stands in a list of values is no schema.
        if (key !== 'enum' && key !== 'const') open.push({ schema: value, path: pointer(path, key) });
      }
    }
  }

  #note(schema: Record<string, unknown>, located: Located): void {
    const { $id, $anchor, $dynamicAnchor } = schema;
    const base = this.#baseOf(located.path);
    let own = base;
    if (typeof $id === 'string' && URL.canParse($id, base)) {
      own = new URL($id, base).href.replace(/#$/, '');
      this.#bases.set(located.path, own);
      this.#addresses.set(own, located);
    }
    if (typeof $dynamicAnchor === 'string')
      this.#dynamic.set($dynamicAnchor, (this.#dynamic.get($dynamicAnchor) ?? 0) + 1);
    for (const anchor of [$anchor, $dynamicAnchor]) {
      if (typeof anchor === 'string') this.#addresses.set(`${own}#${anchor}`, located);
    }
  }
}
