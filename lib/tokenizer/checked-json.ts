/**
 * Typed reading of a tokenizer's JSON, with errors that name the file and the field. The tokenizer's thread is waited for
 * by every load, and imports as little as it can.
 */
import { KvasirError } from '../errors.js';

export type JsonObject = Record<string, unknown>;

export class CheckedJson {
  private constructor(
    readonly file: string,
    readonly path: string,
    readonly value: JsonObject,
  ) {}

  /** Throws MODEL_FORMAT unless the value is an object. */
  static of(file: string, value: unknown, path = ''): CheckedJson {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return new CheckedJson(file, path, value as JsonObject);
    }
    throw wrong(file, path, 'an object');
  }

  /** Null counts as absent. */
  object(name: string): CheckedJson | undefined {
    const value = this.#get(name);
    return value === undefined ? undefined : CheckedJson.of(this.file, value, this.#at(name));
  }

  /** Objects of an array; an absent one is empty. */
  objects(name: string): CheckedJson[] {
    const value = this.#get(name) ?? [];
    if (!Array.isArray(value)) throw this.wrong(name, 'an array');
    return value.map((item, i) => CheckedJson.of(this.file, item, `${this.#at(name)}.${i}`));
  }

  text(name: string): string {
    const value = this.#get(name);
    if (typeof value === 'string') return value;
    throw this.wrong(name, 'a string');
  }

  flag(name: string, fallback: boolean): boolean {
    return this.optionalFlag(name) ?? fallback;
  }

  optionalFlag(name: string): boolean | undefined {
    const value = this.#get(name);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.wrong(name, 'true or false');
  }

  wrong(name: string, expected: string): KvasirError {
    return wrong(this.file, this.#at(name), expected);
  }

  #get(name: string): unknown {
    return (Object.hasOwn(this.value, name) ? this.value[name] : undefined) ?? undefined;
  }

  #at(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }
}

function wrong(file: string, path: string, expected: string): KvasirError {
  return new KvasirError(
    'MODEL_FORMAT',
    `${file} cannot be used. ${path === '' ? 'the file' : path}: it must be ${expected}.`,
  );
}
