import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompareReport } from '../../lib/compare/report.js';
import { hasTerminal, kvasir, startAtTerminal } from './cli-command.js';

const quick = ['compare', 'stories-260k', '--windows', '2', '-p', '16'];
const onlyQuality = ['compare', 'stories-260k', '--windows', '1', '--only', 'quality'];

describe('kvasir compare', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-compare-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string | Uint8Array) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };

  it('prints one object', async () => {
    const { status, stdout, stderr } = await kvasir([...quick, '--json', '--threads', '1']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const report = JSON.parse(stdout) as CompareReport;
    for (const key of ['model', 'text', 'machine', 'fp32', 'int8', 'runs', 'speedup', 'memory', 'quality']) {
      expect(report).toHaveProperty(key);
    }
    expect(report.complete).toBe(true);
    for (const key of ['windows', 'meanKl', 'medianKl', 'p99Kl', 'maxKl', 'sameTop1', 'perplexityRatio']) {
      expect(report.quality).toHaveProperty(key);
    }
    expect(report.text.source).toMatch(/Frankenstein/);
    expect(report.fp32!.threads).toBe(1);
  });

  it('prints tables for people', async () => {
    const { status, stdout } = await kvasir(quick);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^int8 +weights int8, KV int8, cpu, \w+ kernels/m);
    const interval = String.raw`[\d.]+x \([\d.]+ to [\d.]+\)(: no significant difference)?$`;
    expect(stdout).toMatch(new RegExp(`^decode +16 +[\\d.]+ tokens/s +[\\d.]+ tokens/s +${interval}`, 'm'));
    expect(stdout).toMatch(/^KL divergence +mean 0\.\d+ ± .*, p99 0\.\d+, max 0\.\d+$/m);
    expect(stdout).toMatch(/^1\. (layers\.\d|embed\.tokens) +0\.0\d+ +.* output error \d\.\de-\d \(NMSE\)$/m);
    expect(stdout).toMatch(/^same best token +9\d\.\d+ % ± /m);
    expect(stdout).toMatch(/^int8 +[\d.]+ kB +[\d.]+ kB +[\d.]+ [kM]B/m);
  });

  it('fails with the reason when a bound is not met', async () => {
    const strict = await kvasir([...onlyQuality, '--max-kl', '1e-9', '--json']);
    expect(strict.status).toBe(1);
    expect(strict.stderr).toMatch(
      /^failed: The mean KL of int8 to fp32 is 0\.\d+; at most 1e-9 is allowed\.$/m,
    );
    expect((JSON.parse(strict.stdout) as CompareReport).checks).toMatchObject([{ passed: false }]);
    const fast = await kvasir([...quick, '--only', 'speed', '--min-speedup', '100']);
    expect(fast.status).toBe(1);
    expect(fast.stderr).toMatch(/^failed: The speedup of int8 over fp32 is [\d.]+ \(\w+\); at least 100/m);
    const searched = await kvasir([
      ...onlyQuality.slice(0, 4),
      '--only',
      'quality,layers',
      '--max-kl',
      '0.004',
      '--search',
    ]);
    expect(searched.status).toBe(1);
    expect(searched.stdout).toMatch(
      /^keepFp32: .* meets the bound with a mean KL of 0\.00[0-3]\d* over 1 windows$/m,
    );
    expect(fast.stdout).toMatch(/^FAILED +The speedup/m);
    expect(await kvasir([...onlyQuality, '--max-kl', '1'])).toMatchObject({ status: 0, stderr: '' });
  });

  it('takes a text of ones own', async () => {
    const own = file('own.txt', 'One day, a little girl went to the park with her dog. '.repeat(200));
    const { status, stdout } = await kvasir([...onlyQuality, '--text', own, '--json']);
    expect(status).toBe(0);
    expect((JSON.parse(stdout) as CompareReport).text.source).toBe(own);
  });

  it('refuses a text that is none, before anything is loaded', async () => {
    const wrong: [string, RegExp][] = [
      [file('empty.txt', ''), /--text is 'empty'/],
      [file('short.txt', 'Once upon a time.'), /has \d+ tokens, fewer than one window of 512/],
      [file('binary', Uint8Array.of(0x7f, 0x45, 0xff, 0xfe, 0)), /is no UTF-8 text/],
      [file('nul.txt', 'abc\0def'.repeat(1000)), /binary data/],
      [join(folder, 'missing.txt'), /--text cannot be read: ENOENT/],
      [folder, /--text cannot be read: EISDIR/],
    ];
    for (const [path, message] of wrong) {
      const { status, stdout, stderr } = await kvasir([...onlyQuality, '--text', path]);
      expect(status).toBe(2);
      expect(stdout).toBe('');
      expect(stderr).toMatch(message);
    }
  });

  it.each([
    [['--windows', '0'], /integer from 1 on/],
    [['-p', '16,x'], /integers from 1 on/],
    [['-p', '500'], /--prompts is 500; it must be at most 480/],
    [['--only', 'speed,colour'], /Known parts: speed, quality, layers, memory/],
    [['--search'], /--search is true; it must be absent without maxKl/],
    [['--keep-fp32', 'layers.9'], /--keep-fp32 is 'layers\.9'; it must be one of embed/],
    [['--only', 'speed', '--max-kl', '1'], /--max-kl is 1; it must be absent/],
    [['--max-kl', 'little'], /must be a number/],
  ])('refuses %j', async (flags, message) => {
    const { status, stderr } = await kvasir(['compare', 'stories-260k', ...flags]);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });

  it.skipIf(!hasTerminal)('shows how long it takes, and prints what there is at Ctrl-C', async () => {
    const running = startAtTerminal(['compare', 'stories-260k', '--windows', '1000', '--only', 'quality']);
    await running.until(({ stdout }) => /comparing outputs \[=+.*\d+ s left/.test(stdout));
    running.child.stdin.write('\x03');
    const { status, stdout } = await running.end();
    expect(status).toBe(130);
    expect(stdout).toMatch(/Quality of int8 against fp32: \d+ tokens in \d+ windows/);
    expect(stdout).toMatch(/PARTIAL: interrupted\. Missing or not whole: quality\./);
  });
});
