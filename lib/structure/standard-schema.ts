/**
 * Schemas of other libraries (zod, valibot, ArkType and whatever follows the Standard Schema), as JSON Schema: by the
 * conversion that the schema itself brings. No library is needed for that.
 */
import { KvasirError } from '../errors.js';
import { reading, show } from '../given.js';

const target = 'draft-2020-12';
type Convert = (options: object) => unknown;

function isCallable(value: unknown): value is Convert {
  return typeof value === 'function';
}

/** A given schema as plain JSON Schema; what is that already, as it is. Throws INVALID_OPTION where there is no conversion. */
export function jsonSchemaOf(given: unknown): unknown {
  return reading('The schema', () => {
    const isThing = (typeof given === 'object' && given !== null) || typeof given === 'function';
    if (!isThing || !('~standard' in given)) return given;
    const standard = (given as Record<string, unknown>)['~standard'] as Record<string, unknown> | null;
    const own = standard?.jsonSchema as Record<string, unknown> | undefined;
    if (isCallable(own?.output)) return own.output({ target });
    for (const name of ['toJSONSchema', 'toJsonSchema']) {
      const convert = (given as unknown as Record<string, unknown>)[name];
      if (isCallable(convert)) return convert.call(given, {});
    }
    throw new KvasirError(
      'INVALID_OPTION',
      `The schema of ${show(standard?.vendor)} brings no conversion to JSON Schema: convert it first (with zod, z.toJSONSchema(schema)).`,
    );
  });
}
