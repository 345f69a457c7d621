/** The tiny Gemma 3 as if it were made for long texts: its window of 20 becomes 512, of its 256 positions there are 8,192. */
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixtures } from './golden.js';

/** Pages of 64 positions that each layer with the window has for one sequence, and for its checkpoints. */
export const WINDOW_PAGES = 17;
export const CHECKPOINT_PAGES = 20;

/** A new folder; the caller removes it. */
export function windowedFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-windowed-'));
  cpSync(`${fixtures}families/gemma3_text`, folder, { recursive: true });
  const path = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  const longer = { ...config, sliding_window: 512, max_position_embeddings: 8192 };
  writeFileSync(path, JSON.stringify(longer));
  return folder;
}
