/** Random model files, texts, conversations, options and hubs (scripts/fuzz.mjs): a sample of 200 runs, nightly 5,000. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { amount, isNightly } from '../nightly.js';

const script = fileURLToPath(new URL('../../scripts/fuzz.mjs', import.meta.url));

test('no run ends in a death, a hang, a raw error, INTERNAL or an unhandled rejection', () => {
  const runs = amount(200, 5000);
  // Nightly draws another seed each day; the output names it.
  const seed = isNightly ? Math.floor(Date.now() / 86_400_000) : 1;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [script, '--runs', String(runs), '--seed', String(seed)],
    { encoding: 'utf8', maxBuffer: 1 << 26 },
  );
  expect(stdout + stderr).toMatch(new RegExp(`\n${runs} runs, 0 faults\n$`));
  expect(status).toBe(0);
  // It reaches what it is there for.
  for (const kind of ['files', 'texts', 'messages', 'hub'])
    expect(stdout).toMatch(new RegExp(`${kind}: done`));
}, 3_600_000);
