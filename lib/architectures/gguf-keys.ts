/** Typed reading of GGUF metadata, with errors that name the key. */
import { KvasirError } from '../errors.js';
import type { MetadataValue } from '../native.js';

export type GgufMetadata = Readonly<Record<string, MetadataValue>>;

export class GgufKeys {
  /** `prefix` is the file's architecture: `count('block_count')` reads `<prefix>.block_count`. */
  constructor(
    readonly metadata: GgufMetadata,
    readonly prefix: string,
  ) {}

  /** A whole number; without `fallback` the key must be there. */
  count(name: string, fallback?: number): number {
    const value = this.number(name, fallback);
    if (!Number.isSafeInteger(value) || value < 0) throw this.#wrong(name, 'a whole number', value);
    return value;
  }

  number(name: string, fallback?: number): number {
    const value = this.#value(name);
    if (value === undefined && fallback !== undefined) return fallback;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#wrong(name, 'a number', value);
    return value;
  }

  text(name: string): string | undefined {
    const value = this.#value(name);
    if (value !== undefined && typeof value !== 'string') throw this.#wrong(name, 'a string', value);
    return value;
  }

  has(name: string): boolean {
    return this.#value(name) !== undefined;
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.#value(name);
    if (value !== undefined && typeof value !== 'boolean') throw this.#wrong(name, 'true or false', value);
    return value ?? fallback;
  }

  /** One flag for each layer, or undefined where the key is no list of them. */
  flags(name: string): boolean[] | undefined {
    const value = this.#value(name);
    if (!Array.isArray(value)) return undefined;
    return value.map(Boolean);
  }

  /** One number for each layer, or undefined where the key is no list of them. */
  counts(name: string): number[] | undefined {
    const value = this.#value(name);
    if (!Array.isArray(value)) return undefined;
    return value.map((one) => {
      if (Number.isSafeInteger(one) && Number(one) >= 0) return Number(one);
      throw this.#wrong(name, 'a list of whole numbers', value);
    });
  }

  #value(name: string): MetadataValue | undefined {
    const key = `${this.prefix}.${name}`;
    return Object.hasOwn(this.metadata, key) ? this.metadata[key] : undefined;
  }

  #wrong(name: string, expected: string, value: unknown): KvasirError {
    const found = value === undefined ? 'is missing' : `is ${JSON.stringify(value)?.slice(0, 60)}`;
    return new KvasirError(
      'MODEL_FORMAT',
      `The GGUF metadata "${this.prefix}.${name}" ${found}; ${expected} is needed.`,
    );
  }
}
