/** Names of split GGUF models: NAME-00001-of-00003.gguf and so on, each part useless without the others. Looks at no file. */

const partName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s;

/** The names of all parts of the model that a file belongs to, in order; its own name alone where it is no part. */
export function ggufParts(name: string): string[] {
  const [, stem, part, count] = partName.exec(name) ?? [];
  const parts = Number(count);
  if (part === undefined || Number(part) < 1 || Number(part) > parts) return [name];
  return Array.from(
    { length: parts },
    (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${count}.gguf`,
  );
}

/** Without the ending, and without which part it is. */
export function ggufStem(name: string): string {
  return partName.exec(name)?.[1] ?? name.replace(/\.gguf$/, '');
}

/** One name for each model: that of its first part. */
export function ggufModels(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => ggufParts(name)[0]!))];
}
