/** Reads the small JSON files of a model folder. Not for `tokenizer.json`, which only the worker thread reads. */
import { readFile, stat } from 'node:fs/promises';
import { KvasirError } from '../errors.js';
import { parsePythonJson } from '../python-json.js';

/** 16 MiB: the largest real config or shard index is far below, and parsing more would hold up the event loop. */
const largest = 16 << 20;

/** Throws MODEL_NOT_FOUND when the file cannot be read, MODEL_FORMAT when it is no JSON object. */
export async function readJsonObject(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > largest) {
      throw new KvasirError(
        'MODEL_FORMAT',
        `${path} has ${size} bytes; a file of its kind has at most ${largest}.`,
      );
    }
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof KvasirError) throw cause;
    throw new KvasirError('MODEL_NOT_FOUND', `Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  return parseJsonObject(text, path);
}

export function parseJsonObject(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch (cause) {
    throw new KvasirError('MODEL_FORMAT', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new KvasirError('MODEL_FORMAT', `${path} must hold a JSON object.`);
  }
  return value as Record<string, unknown>;
}
