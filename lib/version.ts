/** The version of this package. */
import { readFileSync } from 'node:fs';
import { packageFile } from './package-root.js';

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}
