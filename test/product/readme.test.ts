/**
 * Every code block of the README runs as it stands there; what compares SmolLM2 measures for minutes, and runs so nightly:
 * in `npm test` over the small model. `npm start` has tests of its own; `npm test` is this run.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { smollm2 } from '../model/smollm2-model.js';
import { isNightly } from '../nightly.js';

const run = promisify(execFile);
const readme = readFileSync(join(packageRoot, 'README.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((match) => match[1]!);

const ofSample = (text: string): string =>
  isNightly || !/\bcompare\b/.test(text) ? text : text.replaceAll('smollm2-135m', 'stories-260k');

/** Runs inside the checkout, where the package's own name resolves. */
async function runPasted(code: string): Promise<string> {
  const folder = mkdtempSync(join(packageRoot, 'build', 'readme-'));
  try {
    writeFileSync(join(folder, 'pasted.mjs'), code);
    const { stdout } = await run(process.execPath, [join(folder, 'pasted.mjs')], { timeout: 120_000 });
    return stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('the README', () => {
  const programs = blocks('js');
  it('has programs to paste', () => expect(programs.length).toBeGreaterThanOrEqual(2));

  for (const [index, code] of programs.entries()) {
    it.skipIf(smollm2 === undefined)(
      `program ${index + 1} runs as it is pasted`,
      async () => {
        const output = await runPasted(ofSample(code));
        expect(output).toMatch(/\d+ tokens/);
      },
      180_000,
    );
  }

  const commands = blocks('sh')
    .flatMap((block) => block.trim().split('\n'))
    // Installing from a registry is what installed-package.test.ts does.
    .filter((line) => !/^npm (start|test|install kvasir)$/.test(line));
  it('has commands to run', () => expect(commands.length).toBeGreaterThanOrEqual(3));

  for (const command of commands) {
    it(`\`${command}\` succeeds`, async () => {
      const { stdout } = await run('bash', ['-c', ofSample(command)], { cwd: packageRoot, timeout: 300_000 });
      expect(stdout.trim()).not.toBe('');
    }, 300_000);
  }
});
