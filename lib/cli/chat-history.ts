/** What was typed in earlier chats, for the arrow keys: a file that only its owner reads. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { readRegularFileSync } from '../regular-file.js';

const mostLines = 500;
const mostBytes = 2 ** 22;

/** KVASIR_CHAT_HISTORY, or `kvasir/chat-history` in XDG_STATE_HOME or ~/.local/state; undefined: `off`, none is kept. */
function historyPath({
  KVASIR_CHAT_HISTORY: own,
  XDG_STATE_HOME: state,
}: NodeJS.ProcessEnv): string | undefined {
  if (own === 'off') return undefined;
  return own || join(state || join(homedir(), '.local', 'state'), 'kvasir', 'chat-history');
}

/** Newest first, as the line editor keeps it; [] where there is none. */
export function readHistory(env: NodeJS.ProcessEnv = process.env): string[] {
  const path = historyPath(env);
  if (path === undefined) return [];
  try {
    const lines = readRegularFileSync(path, mostBytes).toString().split('\n');
    return lines.filter((line) => line !== '').slice(0, mostLines);
  } catch {
    return [];
  }
}

/** A home that cannot be written keeps none. */
export function writeHistory(lines: readonly string[], env: NodeJS.ProcessEnv = process.env): void {
  const path = historyPath(env);
  if (path === undefined || lines.length === 0) return;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, `${lines.slice(0, mostLines).join('\n')}\n`, { mode: 0o600 });
  } catch {
    // As above.
  }
}
