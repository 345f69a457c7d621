/** What a value that is written as text, between tags, may be: by it the text is read, and by it the grammar is made. */

type Schema = Record<string, unknown>;

export const isRecord = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON types that a value may have; undefined: any. */
export function writtenTypes(schema: unknown): readonly string[] | undefined {
  if (!isRecord(schema)) return undefined;
  const { type, anyOf, oneOf } = schema;
  const values = schema.const === undefined ? schema.enum : [schema.const];
  if (typeof type === 'string') return [type];
  if (Array.isArray(type)) return type.filter((one) => typeof one === 'string');
  if (Array.isArray(values)) return values.map(writtenType);
  const branches = [anyOf, oneOf].find(Array.isArray)?.map(writtenTypes);
  return branches?.every((one) => one !== undefined) ? branches.flat() : undefined;
}

export function writtenType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value;
}

/** The text is the value, whatever it looks like. */
export function isPlainString(types: readonly string[] | undefined): boolean {
  return types?.every((type) => type === 'string') ?? false;
}
