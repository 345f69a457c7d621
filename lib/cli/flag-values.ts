/** From the text of a flag to its value. */
import { InvalidArgumentError } from 'commander';

export function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

export function parseInteger(text: string): number {
  const value = parseNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be an integer.');
  return value;
}

/** An integer from `least` on. */
export function parseCount(least: number): (text: string) => number {
  return (text) => {
    const value = parseInteger(text);
    if (value < least) throw new InvalidArgumentError(`It must be an integer from ${least} on.`);
    return value;
  };
}

/** Of a flag that may come several times. */
export function collect(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text];
}
