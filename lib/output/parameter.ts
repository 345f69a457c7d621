/** Arguments that a format writes as text: what they are as JSON, by the tool's schema. */
import type { ToolShape } from './format.js';

type Schema = Record<string, unknown>;

const isRecord = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON types that a value may have; undefined: any. */
function typesOf(schema: unknown): readonly string[] | undefined {
  if (!isRecord(schema)) return undefined;
  const { type, anyOf, oneOf } = schema;
  const values = schema.const === undefined ? schema.enum : [schema.const];
  if (typeof type === 'string') return [type];
  if (Array.isArray(type)) return type.filter((one) => typeof one === 'string');
  if (Array.isArray(values)) return values.map(typeOf);
  const branches = [anyOf, oneOf].find(Array.isArray)?.map(typesOf);
  return branches?.every((one) => one !== undefined) ? branches.flat() : undefined;
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value;
}

/** What one argument of a tool may be. */
export function argumentTypes(
  tools: readonly ToolShape[],
  tool: string,
  name: string,
): readonly string[] | undefined {
  const { parameters } = tools.find((one) => one.name === tool) ?? {};
  const { properties } = isRecord(parameters) ? parameters : {};
  return isRecord(properties) && Object.hasOwn(properties, name) ? typesOf(properties[name]) : undefined;
}

/** The text is the value, whatever it looks like. */
export function isPlainString(types: readonly string[] | undefined): boolean {
  return types?.every((type) => type === 'string') ?? false;
}

/** Python's words, which templates print. */
const words: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null' };

/** JSON of a value that is written as text: what it can be read as, where its types allow that, else a string. */
export function jsonOf(text: string, types: readonly string[] | undefined): string {
  const written = text.trim();
  const json = Object.hasOwn(words, written) ? words[written] : written;
  try {
    const type = typeOf(JSON.parse(json) as unknown);
    const fits =
      types === undefined || types.includes(type) || (type === 'number' && types.includes('integer'));
    if (fits) return json;
  } catch {
    // A string.
  }
  return JSON.stringify(text);
}
