/** Parsing of Hugging Face configs, with errors that name the fields. */
import { z } from 'zod';
import { KvasirError } from '../errors.js';

export const count = z.int().positive();

/** Throws MODEL_FORMAT with every field that is wrong. */
export function parseConfig<T extends z.ZodType>(
  schema: T,
  config: unknown,
  file = 'config.json',
): z.infer<T> {
  // zod would compile a schema at its first use, which takes longer than interpreting it once does.
  const result = schema.safeParse(config, { jitless: true });
  if (result.success) return result.data;
  const problems = result.error.issues.map(
    (issue) => `${issue.path.join('.') || 'the file'}: ${issue.message}`,
  );
  throw new KvasirError('MODEL_FORMAT', `${file} cannot be used. ${problems.slice(0, 8).join('; ')}.`);
}

/** For a config that asks for arithmetic that is not there. */
export function unsupported(architecture: string, what: string): KvasirError {
  return new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `This ${architecture} model uses ${what}, which is not supported.`,
  );
}
