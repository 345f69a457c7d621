/** `npm run docs`: the reference of every exported name without a warning, and a site without a dead link or a request. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

const site = join(packageRoot, 'build/site');
const page = (name: string): string => readFileSync(join(site, name), 'utf8');

beforeAll(() => {
  execFileSync('npm', ['run', 'docs'], { cwd: packageRoot, stdio: 'pipe' });
}, 900_000);

it('has a page for each page of docs/, and the API', () => {
  const pages = readdirSync(join(packageRoot, 'docs')).filter((name) => name.endsWith('.md'));
  for (const name of pages) expect(existsSync(join(site, name.replace(/md$/, 'html'))), name).toBe(true);
  const reference = page('reference/kvasir.html');
  for (const name of ['GenerateOptions', 'compare', 'VectorIndex', 'KvasirErrorCode', 'createSession']) {
    expect(reference, name).toContain(name);
  }
});

it('asks no other host for anything', () => {
  const loaded = /<(?:script|link|img)\b[^>]*\b(?:src|href)="(https?:)?\/\/[^"]*"/g;
  for (const name of ['index.html', 'generation.html', 'reference/kvasir.html']) {
    expect([...page(name).matchAll(loaded)].map(([tag]) => tag)).toEqual([]);
  }
});
