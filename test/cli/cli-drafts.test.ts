/** `--speculate` and `--draft`: the same texts, and what was drafted. */
import { expect, it } from 'vitest';
import { kvasir } from './cli-command.js';

const run = ['run', 'stories-260k', 'Tom had a red ball. Tom had a', '-n', '60', '--threads', '2'];

it('run gives the same text with drafts, and says how many were right', async () => {
  const plain = await kvasir(run);
  expect(plain.stderr).not.toContain('drafts');
  for (const flags of [
    ['--speculate', 'prompt'],
    ['--draft', 'stories-260k', '--draft-tokens', '2'],
  ]) {
    const { status, stdout, stderr } = await kvasir([...run, ...flags]);
    expect([status, stdout]).toEqual([0, plain.stdout]);
    expect(stderr).toMatch(/drafts +\d+ of \d+ tokens right/);
  }
  const { stdout } = await kvasir([...run, '--speculate', 'prompt', '--json']);
  const { timings } = JSON.parse(stdout);
  expect(timings.draftedTokens).toBeGreaterThanOrEqual(timings.acceptedTokens);
  expect((await kvasir([...run, '--speculate', 'off'])).stdout).toBe(plain.stdout);
});

it.each([
  [['--speculate', 'yes'], "'prompt' or 'off'"],
  [['--draft-tokens', '3'], '--draft-tokens needs --draft'],
  [['--draft', 'stories-260k', '--speculate', 'prompt'], 'cannot be used with'],
  [['--draft', 'nano-gpt-sort'], 'the same vocabulary'],
])('%j is refused', async (flags, message) => {
  const { status, stderr } = await kvasir([...run, ...flags]);
  expect(status).not.toBe(0);
  expect(stderr).toContain(message);
});
