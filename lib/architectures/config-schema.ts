/** Parsing of Hugging Face configs, with errors that name the fields. */
import * as v from 'valibot';
import { KvasirError } from '../errors.js';

export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
export const finite = v.pipe(v.number(), v.finite());
export const positive = v.pipe(finite, v.gtValue(0));

/** Throws MODEL_FORMAT with every field that is wrong. */
export function parseConfig<T extends v.GenericSchema>(
  schema: T,
  config: unknown,
  file = 'config.json',
): v.InferOutput<T> {
  const result = v.safeParse(schema, config);
  if (result.success) return result.output;
  const problems = result.issues.map((issue) => `${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`);
  throw new KvasirError('MODEL_FORMAT', `${file} cannot be used. ${problems.slice(0, 8).join('; ')}.`);
}

/** For a config that asks for arithmetic that is not there. */
export function unsupported(architecture: string, what: string): KvasirError {
  return new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `This ${architecture} model uses ${what}, which is not supported.`,
  );
}
