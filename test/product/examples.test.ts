/** The short programs of examples/ run as they stand, from a checkout. The chat server has a file of its own. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { makeChatModel, runExample } from '../cli/cli-command.js';

const scratch = mkdtempSync(join(tmpdir(), 'kvasir-examples-'));
const chat = makeChatModel();
afterAll(() => {
  chat.remove();
  rmSync(scratch, { recursive: true });
});

it('summarizes each text of a folder, also one that is longer than the context', async () => {
  writeFileSync(join(scratch, 'b.txt'), 'A short text.');
  writeFileSync(join(scratch, 'a.md'), 'Once there was a long text. '.repeat(2000));
  writeFileSync(join(scratch, 'c.bin'), 'not a text');
  const { status, stdout, stderr } = await runExample('summarize-folder/summarize.mjs', [
    scratch,
    chat.folder,
  ]);
  expect(stderr).not.toContain('Error');
  expect(status).toBe(0);
  expect(stdout.trim().split('\n')).toHaveLength(2);
  expect(stdout).toMatch(/^a\.md: \S.*\nb\.txt: \S/);
});

it('labels lines in their order', async () => {
  const texts = Array.from({ length: 20 }, (_, i) => `Text number ${i}`);
  const args = ['stories-260k', 'red', 'blue'];
  const { status, stdout } = await runExample('label-texts/label.mjs', args, `${texts.join('\n')}\n\n`);
  expect(status).toBe(0);
  const rows = stdout
    .trim()
    .split('\n')
    .map(
      (line) => JSON.parse(line) as { text: string; label: string; probabilities: Record<string, number> },
    );
  expect(rows.map(({ text }) => text)).toEqual(texts);
  for (const { label, probabilities } of rows) {
    expect(Object.keys(probabilities).sort()).toEqual(['blue', 'red']);
    expect(probabilities[label]).toBe(Math.max(...Object.values(probabilities)));
    expect(probabilities.red! + probabilities.blue!).toBeCloseTo(1, 3);
  }
});

it('checks what INT8 costs: the status tells a build, the page a reader', async () => {
  const page = join(scratch, 'int8.html');
  const passed = await runExample('compare-in-ci/check.mjs', ['stories-260k', '10', page]);
  expect(passed.status).toBe(0);
  expect(passed.stdout).toMatch(/^mean KL \d\.\d{4}, same best token [\d.]+ % of \d+; see /);
  expect(readFileSync(page, 'utf8')).toContain('<html');
  const failed = await runExample('compare-in-ci/check.mjs', ['stories-260k', '0', page]);
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain('maxKl');
});
