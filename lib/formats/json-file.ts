/** Reads the small JSON files of a model folder. Not for `tokenizer.json`, which only the worker thread reads. */
import { stat } from 'node:fs/promises';
import { KvasirError } from '../errors.js';
import { parsePythonJson } from '../python-json.js';
import { readRegularFile } from '../regular-file.js';

/** 1 MiB: real ones have some kilobytes, and parsing more would hold up the event loop. */
const largest = 1 << 20;

/** Throws MODEL_NOT_FOUND when the file cannot be read, MODEL_FORMAT when it is no regular file of JSON with an object. */
export async function readJsonObject(path: string): Promise<Record<string, unknown>> {
  const bytes = await readRegularFile(path, largest);
  return parseJsonObject(bytes.toString(), path);
}

/** The same of any JSON value. */
export async function readJsonValue(path: string): Promise<unknown> {
  const bytes = await readRegularFile(path, largest);
  return parseJson(bytes.toString(), path);
}

/** Whether something has this name. */
export async function fileExists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function parseJson(text: string, path: string): unknown {
  try {
    return parsePythonJson(text);
  } catch (cause) {
    throw new KvasirError('MODEL_FORMAT', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}

export function parseJsonObject(text: string, path: string): Record<string, unknown> {
  const value = parseJson(text, path);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new KvasirError('MODEL_FORMAT', `${path} must hold a JSON object.`);
  }
  return value as Record<string, unknown>;
}
