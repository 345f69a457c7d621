/** Whole model folders of the tiny classifiers, whose tokenizers lie with other fixtures. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtures, readGolden } from './golden.js';

const { cases } = readGolden<{ cases: Record<string, { tokenizer: string }> }>('classifiers/golden.json');

/** Below `folder`; its configuration may be changed. */
export function classifierFolder(folder: string, name: string, change: object = {}): string {
  const own = join(folder, `${name}-${Object.keys(change).join()}`);
  cpSync(join(fixtures, 'classifiers', name), own, { recursive: true });
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    cpSync(join(fixtures, cases[name]!.tokenizer, file), join(own, file));
  }
  const path = join(own, 'config.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
  return own;
}
