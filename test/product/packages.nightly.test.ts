/** `npm run package`: every system's package cross-compiled and checked, then run where it runs here. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runtimes } from '../../scripts/package/runtimes.mjs';
import { targets } from '../../scripts/package/targets.mjs';

const script = (name: string) => fileURLToPath(new URL(`../../scripts/${name}`, import.meta.url));
const runScript = (name: string) => spawnSync(process.execPath, [script(name)], { encoding: 'utf8' });
const lacks = runtimes.flatMap((runtime) => runtime.lacks());
const skipped = lacks.length === 0 ? '' : ` [skipped: not installed here: ${lacks.join(', ')}]`;

it('makes a package for each system', { timeout: 14_400_000 }, () => {
  const { status, stdout, stderr } = runScript('package.mjs');
  expect(status, stdout + stderr).toBe(0);
  for (const { name } of targets) expect(stdout).toMatch(new RegExp(`^kvasir-${name}-\\d[^ ]*\\.tgz: `, 'm'));
  expect(stdout).toMatch(/^kvasir-\d[^ ]*\.tgz: /m);
});

it.skipIf(lacks.length > 0)(
  `gives packages that say what the checkout says${skipped}`,
  { timeout: 3_600_000 },
  () => {
    const { status, stdout, stderr } = runScript('try-packages.mjs');
    expect(status, stdout + stderr).toBe(0);
    for (const { target, name } of runtimes) {
      expect(stdout).toContain(`${target}, ${name}: the checkout's text and likelihood (`);
    }
    expect(stdout).toMatch(new RegExp(`^${runtimes.length} passed, 0 failed$`, 'm'));
  },
);
