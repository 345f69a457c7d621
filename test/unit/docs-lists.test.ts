/** docs/errors.md and docs/environment.md name all codes and variables that the code has, and no others. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const sources = (folder: string, kinds: RegExp): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => kinds.test(name) && !name.startsWith('testing'))
    .map((name) => read(join(folder, name)));
const all = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1]!);
const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort();

describe('docs/errors.md', () => {
  it('has a row for each code', () => {
    const union = /KvasirErrorCode =([^;]*);/.exec(read('lib/errors.ts'))![1]!;
    expect(sorted(all(read('docs/errors.md'), /^\| `([A-Z_]+)` \|/gm))).toEqual(
      sorted(all(union, /'([A-Z_]+)'/g)),
    );
  });
});

describe('docs/environment.md', () => {
  const names = /(?:env\.|set\(|getenv\(|\.env\(|Is\()['"]?((?:KVASIR|HF|HUGGINGFACE)_[A-Z_]+)['"]?/g;
  const found = [...sources('lib', /\.ts$/), ...sources('native', /\.(?:cc|h)$/)].flatMap((text) =>
    all(text, names),
  );
  const listed = all(read('docs/environment.md'), /^\| `([A-Z_]+)(?:=\w+)?` \|/gm);

  it('finds them in the code', () => expect(sorted(found)).toContain('KVASIR_CPU_ISA'));

  it('lists each variable that lib/ and native/ read', () => {
    // The hub's old name of HF_HUB_CACHE is read and not advertised.
    const used = sorted(found).filter((name) => name !== 'HUGGINGFACE_HUB_CACHE');
    expect(used.filter((name) => !listed.includes(name))).toEqual([]);
  });

  it('lists none that nothing reads', () => {
    const code = [
      ...sources('lib', /\.ts$/),
      ...sources('native', /\.(?:cc|h)$/),
      ...sources('scripts', /\.mjs$/),
    ].join('\n');
    expect(listed.filter((name) => !code.includes(name))).toEqual([]);
  });
});
