/** A schema as a whole: what its references point to. Only references into the document itself are followed. */
import { plainData } from '../given.js';
import { type Located, pointer, refused } from './facts.js';

export class SchemaDocument {
  readonly root: unknown;
  readonly #anchors = new Map<string, Located>();
  readonly #id: string;

  /** Throws INVALID_OPTION for what is no plain data. */
  constructor(schema: unknown, where: string) {
    this.root = plainData(schema, where);
    const id = isObject(this.root) ? this.root.$id : undefined;
    this.#id = typeof id === 'string' ? id.replace(/#$/, '') : '';
    this.#collect({ schema: this.root, path: '#' });
  }

  /** @param from where the reference stands. */
  resolve(reference: unknown, from: string): Located {
    if (typeof reference !== 'string') throw refused(from, 'is no string');
    const local =
      this.#id !== '' && reference.startsWith(this.#id) ? reference.slice(this.#id.length) : reference;
    if (local === '' || local === '#') return { schema: this.root, path: '#' };
    const found = local.startsWith('#/') ? this.#at(local) : this.#anchors.get(local);
    if (found) return found;
    if (local.startsWith('#')) throw refused(from, `points to ${local}, which there is not`);
    throw refused(from, `points to another document (${local}), which is not supported`);
  }

  #at(reference: string): Located | undefined {
    let schema = this.root;
    let path = '#';
    for (const part of reference.slice(2).split('/')) {
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

  /** Anchors anywhere; a schema of its own address is a document of its own. */
  #collect(root: Located): void {
    const open = [root];
    for (let next = open.pop(); next; next = open.pop()) {
      const { schema, path } = next;
      if (typeof schema !== 'object' || schema === null) continue;
      if (isObject(schema) && typeof schema.$anchor === 'string')
        this.#anchors.set(`#${schema.$anchor}`, next);
      for (const [key, value] of Object.entries(schema))
        open.push({ schema: value, path: pointer(path, key) });
    }
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
