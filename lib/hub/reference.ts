/** Reads a model reference. Looks at no file. */
import { KvasirError } from '../errors.js';
import { cut } from '../given.js';
import { aliases } from './aliases.js';

export type Reference =
  | { kind: 'alias'; name: string }
  | { kind: 'hub'; repository: string; file?: string }
  | { kind: 'path'; path: string };

const forms =
  `an alias (${Object.keys(aliases).join(', ')}), a folder with config.json and .safetensors, a .gguf file, ` +
  'or hf:org/name or hf:org/name:file.gguf for the Hugging Face hub';

/** MODEL_NOT_FOUND that lists what a reference may be. */
export function unknownReference(reference: string, problem: string): KvasirError {
  return new KvasirError(
    'MODEL_NOT_FOUND',
    `${problem}: "${cut(reference, 200)}". A model is given as ${forms}.`,
  );
}

/** Throws unless the name stays inside the folder it is joined to, on every system. */
export function checkRelativeName(name: string): void {
  const parts = name.split(/[/\\]/);
  const leaves =
    parts.some((part) => part === '' || part === '.' || part === '..') || /^[a-zA-Z]:/.test(name);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (leaves || name.includes('\\') || /[\u0000-\u001f]/.test(name)) {
    throw new KvasirError('MODEL_FORMAT', `"${cut(name, 200)}" is no name for a file inside a model folder.`);
  }
}

/** An alias wins over a folder of the same name: write ./name for the folder. Throws MODEL_NOT_FOUND. */
export function parseReference(reference: string): Reference {
  if (typeof reference !== 'string' || reference.trim() === '' || reference.includes('\u0000')) {
    throw unknownReference(String(reference), 'This is no model');
  }
  if (Object.hasOwn(aliases, reference)) return { kind: 'alias', name: reference };
  if (!reference.startsWith('hf:')) return { kind: 'path', path: reference };
  const match = /^hf:([\w.-]+\/[\w.-]+)(?::(.+))?$/.exec(reference);
  if (match === null || match[1]!.split('/').some((part) => /^\.+$/.test(part))) {
    throw unknownReference(reference, 'This is no repository on the hub');
  }
  const file = match[2];
  if (file !== undefined) checkRelativeName(file);
  return { kind: 'hub', repository: match[1]!, ...(file === undefined ? {} : { file }) };
}
