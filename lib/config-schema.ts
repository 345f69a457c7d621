/** Parsing of Hugging Face configs, with errors that name the fields. */
import * as v from 'valibot';
import { KvasirError } from './errors.js';

export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
export const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const finite = v.pipe(v.number(), v.finite());
export const positive = v.pipe(finite, v.gtValue(0));
/** Not an array, which valibot takes for an object. */
export const plainObject = v.custom<object>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'Invalid type: Expected an object',
);

/** Throws MODEL_FORMAT with every field that is wrong. */
export function parseConfig<T extends v.GenericSchema>(
  schema: T,
  config: unknown,
  file = 'config.json',
): v.InferOutput<T> {
  const result = v.safeParse(schema, config);
  if (result.success) return result.output;
  // A message quotes the value, which may hold anything.
  const problems = result.issues.map(
    (issue) => `${v.getDotPath(issue) || 'the file'}: ${printable(issue.message)}`,
  );
  throw new KvasirError('MODEL_FORMAT', `${file} cannot be used. ${problems.slice(0, 8).join('; ')}.`);
}

/** The beginning of a message, without control characters. */
function printable(message: string): string {
  const text = message.replace(/\p{Cc}/gu, '\uFFFD');
  return text.length > 160 ? `${text.slice(0, 160)}...` : text;
}

/** For a config that asks for arithmetic that is not there. */
export function unsupported(architecture: string, what: string): KvasirError {
  return new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `This ${architecture} model uses ${what}, which is not supported.`,
  );
}
