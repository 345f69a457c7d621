/** Arguments that a format writes as text: what they are as JSON, by the tool's schema. */
import { isRecord, writtenType, writtenTypes } from '../structure/written-types.js';
import type { ToolShape } from './format.js';

/** What one argument of a tool may be. */
export function argumentTypes(
  tools: readonly ToolShape[],
  tool: string,
  name: string,
): readonly string[] | undefined {
  const { parameters } = tools.find((one) => one.name === tool) ?? {};
  const { properties } = isRecord(parameters) ? parameters : {};
  return isRecord(properties) && Object.hasOwn(properties, name) ? writtenTypes(properties[name]) : undefined;
}

/** Python's words, which templates print. */
const words: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null' };

/** JSON of a value that is written as text: what it can be read as, where its types allow that, else a string. */
export function jsonOf(text: string, types: readonly string[] | undefined): string {
  const written = text.trim();
  const json = Object.hasOwn(words, written) ? words[written] : written;
  try {
    const type = writtenType(JSON.parse(json) as unknown);
    const fits =
      types === undefined || types.includes(type) || (type === 'number' && types.includes('integer'));
    if (fits) return json;
  } catch {
    // A string.
  }
  return JSON.stringify(text);
}
