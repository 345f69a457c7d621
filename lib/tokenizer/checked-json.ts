/**
 * Typed reading of a tokenizer's JSON, with errors that name the file and the field. The tokenizer's thread is waited for
 * by every load, and imports as little as it can.
 */
import { KvasirError } from '../errors.js';

export type JsonObject = Record<string, unknown>;

export class CheckedJson {
  /** `place`: in what is at `path`, of which there are thousands: the two are put together for an error. */
  private constructor(
    readonly file: string,
    readonly path: string,
    readonly place: string | number,
    readonly value: JsonObject,
  ) {}

  /** Throws MODEL_FORMAT unless the value is an object. */
  static of(file: string, value: unknown, path = '', place: string | number = ''): CheckedJson {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return new CheckedJson(file, path, place, value as JsonObject);
    }
    throw wrong(file, joined(path, place), 'an object');
  }

  /** Null counts as absent. */
  object(name: string): CheckedJson | undefined {
    const value = this.#get(name);
    return value === undefined ? undefined : CheckedJson.of(this.file, value, this.#own(), name);
  }

  /** Objects of an array; an absent one is empty. */
  objects(name: string): CheckedJson[] {
    const value = this.#get(name) ?? [];
    if (!Array.isArray(value)) throw this.wrong(name, 'an array');
    const path = this.#at(name);
    return value.map((item, i) => CheckedJson.of(this.file, item, path, i));
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

  #own(): string {
    return joined(this.path, this.place);
  }

  #at(name: string): string {
    return joined(this.#own(), name);
  }
}

function joined(path: string, place: string | number): string {
  if (place === '') return path;
  return path === '' ? String(place) : `${path}.${place}`;
}

function wrong(file: string, path: string, expected: string): KvasirError {
  return new KvasirError(
    'MODEL_FORMAT',
    `${file} cannot be used. ${path === '' ? 'the file' : path}: it must be ${expected}.`,
  );
}
