/** Reads the fields of a normalizer, pre-tokenizer, processor or decoder, with errors that name the part and the field. */
import { KvasirError } from '../errors.js';
import type { Component } from './definition.js';

export function refused(part: string, what: string): KvasirError {
  return new KvasirError('MODEL_FORMAT', `The tokenizer's ${part} has "${what}", which is not supported.`);
}

export interface CheckedComponent {
  readonly type: string;
  readonly fields: Component;
  flag(name: string, fallback?: boolean): boolean;
  text(name: string, fallback?: string): string;
  count(name: string, fallback?: number): number;
  /** One code point. */
  character(name: string, fallback?: string): string;
  components(name: string): CheckedComponent[];
  wrong(name: string, expected: string): KvasirError;
}

export function checked(part: string, component: unknown): CheckedComponent {
  const fields = component as Component;
  if (typeof component !== 'object' || component === null || typeof fields.type !== 'string') {
    throw new KvasirError('MODEL_FORMAT', `The tokenizer's ${part} must be an object with a type.`);
  }
  return new Node(part, fields);
}

class Node implements CheckedComponent {
  constructor(
    readonly part: string,
    readonly fields: Component,
  ) {}

  get type(): string {
    return this.fields.type;
  }

  flag(name: string, fallback?: boolean): boolean {
    const value = this.#value(name) ?? fallback;
    if (typeof value === 'boolean') return value;
    throw this.wrong(name, 'true or false');
  }

  text(name: string, fallback?: string): string {
    const value = this.#value(name) ?? fallback;
    if (typeof value === 'string') return value;
    throw this.wrong(name, 'a string');
  }

  count(name: string, fallback?: number): number {
    const value = this.#value(name) ?? fallback;
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
    throw this.wrong(name, 'a whole number from 0 on');
  }

  character(name: string, fallback?: string): string {
    const value = this.text(name, fallback);
    if (Array.from(value).length === 1) return value;
    throw this.wrong(name, 'one character');
  }

  components(name: string): CheckedComponent[] {
    const value = this.#value(name);
    if (!Array.isArray(value)) throw this.wrong(name, 'a list');
    return value.map((one) => checked(this.part, one));
  }

  wrong(name: string, expected: string): KvasirError {
    return new KvasirError(
      'MODEL_FORMAT',
      `The tokenizer's ${this.part} "${this.type}" cannot be used: ${name} must be ${expected}.`,
    );
  }

  #value(name: string): unknown {
    return (Object.hasOwn(this.fields, name) ? this.fields[name] : undefined) ?? undefined;
  }
}
