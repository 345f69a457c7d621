/** Output that goes nowhere: a full device, a reader who is gone. And a report that would take the place of its model. */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, kvasir } from './cli-command.js';

const stories = fileURLToPath(new URL('../../models/stories-260k', import.meta.url));

/** The command in a shell, its stdout going where the shell sends it. */
function inShell(args: string, where: string): { status: number | null; stderr: string } {
  const line = `"$0" "$1" ${args} ${where}`;
  const { status, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', line, process.execPath, command], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stderr };
}

describe.skipIf(!existsSync('/dev/full'))('a full device', () => {
  it.each([
    ['--help'],
    ['--version'],
    ['info stories-260k'],
    ['info stories-260k --json'],
    ['doctor --json'],
    ['pull stories-260k'],
    ['run stories-260k "Once upon a time" -n 400'],
    ['run stories-260k "Once upon a time" -n 20 --json'],
    ['bench stories-260k -p 16 -n 4 -r 1 --json'],
  ])('%s ends with one line and status 1', (args) => {
    const { status, stderr } = inShell(args, '> /dev/full');
    expect(stderr).toMatch(/^error: stdout cannot be written: ENOSPC.*\[INVALID_OPTION\]\n$/);
    expect(status).toBe(1);
  });

  it('a full stderr too changes nothing', () => {
    expect(inShell('run stories-260k "Once" -n 5', '> /dev/full 2> /dev/full').status).toBe(1);
    expect(inShell('run stories-260k "Once" -n 5', '> /dev/null 2> /dev/full').status).toBe(0);
  });
});

it.each([['--help'], ['info stories-260k'], ['run stories-260k "Once" -n 400'], ['doctor --json']])(
  'a reader who has enough, or never read, ends %s without a word',
  (args) => {
    for (const reader of ['| head -c 1 > /dev/null', '| true']) {
      expect(inShell(args, reader)).toEqual({ status: 0, stderr: '' });
    }
  },
);

describe('compare --html onto what is read', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-output-'));
    cpSync(stories, join(folder, 'model'), { recursive: true });
    symlinkSync(join(folder, 'model', 'config.json'), join(folder, 'link.html'));
    linkSync(join(folder, 'model', 'tokenizer.json'), join(folder, 'hard.html'));
    writeFileSync(join(folder, 'text.txt'), 'Once upon a time');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([['model/model.safetensors'], ['model/config.json'], ['link.html'], ['hard.html'], ['text.txt']])(
    '%s is refused before anything is measured',
    async (name) => {
      const path = join(folder, name);
      const before = readFileSync(path);
      const args = ['compare', join(folder, 'model'), '--html', path, '--text', join(folder, 'text.txt')];
      const { status, stderr } = await kvasir(args);
      expect(status).toBe(2);
      expect(stderr).toMatch(/^error: --html .* would replace a file that is read: .*\n$/);
      expect(readFileSync(path).equals(before)).toBe(true);
      expect(readdirSync(folder).filter((one) => one.includes('partial'))).toEqual([]);
    },
  );
});
