/** Tiny checkpoints as if they were made for long texts: another configuration beside the fixture's tensors. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixtures } from './golden.js';

/** Pages of 64 positions that each layer with the window has for one sequence, and for its checkpoints. */
export const WINDOW_PAGES = 17;
export const CHECKPOINT_PAGES = 20;

/** A copy of a family's fixture, whose configuration has other values. */
export function longFolder(family: string, values: object): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'kvasir-long-'));
  cpSync(`${fixtures}families/${family}`, path, { recursive: true });
  const config = join(path, 'config.json');
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, 'utf8')), ...values }));
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

/** The tiny Gemma 3: its window of 20 becomes 512, of its 256 positions there are 8,192. The caller removes it. */
export function windowedFolder(): string {
  return longFolder('gemma3_text', { sliding_window: 512, max_position_embeddings: 8192 }).path;
}
