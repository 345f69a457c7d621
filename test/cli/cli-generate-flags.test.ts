/** Flags of `run` for samplers, rules, searches and adapters: each reaches the option of its name. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { generateFlags } from '../../lib/cli/generate-flags.js';
import { Model } from '../../lib/model.js';
import { generateRules } from '../../lib/options.js';
import { fixtures } from '../model/golden.js';
import { kvasir } from './cli-command.js';

it('each flag is an option of generate, and each option has a flag or is no text', () => {
  const flags = generateFlags.map((flag) => flag.attributeName());
  const others = [
    ...['logitBias', 'responseFormat', 'signal', 'tools', 'toolChoice', 'toolFormat', 'reasoning'],
    ...['processLogits', 'guard', 'adapter', 'overflow'],
  ];
  expect([...flags, ...others].sort()).toEqual(Object.keys(generateRules).sort());
});

it('samplers, rules and several texts', async () => {
  const args = ['run', 'stories-260k', 'Once', '-n', '12', '--seed', '3', '--temperature', '0.9', '--n', '2'];
  const flags = [
    '--no-repeat-ngram',
    '2',
    '--min-tokens',
    '5',
    '--bad-words',
    'girl',
    '--dry-multiplier',
    '0.8',
  ];
  const { stdout } = await kvasir([...args, ...flags, '--top-n-sigma', '1.5', '--xtc-probability', '0.2']);
  const model = await Model.load('stories-260k');
  try {
    const { choices = [] } = await model.generate('Once', {
      ...{ maxTokens: 12, seed: 3, temperature: 0.9, n: 2, noRepeatNgram: 2, minTokens: 5 },
      ...{ badWords: ['girl'], dryMultiplier: 0.8, topNSigma: 1.5, xtcProbability: 0.2 },
    });
    expect(stdout).toBe(`${choices[0]!.text}\n--- 2 ---\n${choices[1]!.text}\n`);
    const beams = await kvasir([
      'run',
      'stories-260k',
      'Once',
      '-n',
      '12',
      '--beams',
      '3',
      '--early-stopping',
      'never',
    ]);
    const found = await model.generate('Once', { maxTokens: 12, beams: 3, earlyStopping: 'never' });
    expect(beams.stdout).toBe(`${found.text}\n`);
  } finally {
    await model.dispose();
  }
});

it('an adapter, beside the model and merged into it', async () => {
  const base = `${fixtures}tiny-llama-variants/f32`;
  const adapter = `${fixtures}adapters/llama-qv`;
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-cli-merge-'));
  try {
    const args = ['abc', '--raw', '-n', '8', '--dtype', 'fp32', '--json'];
    const beside = await kvasir(['run', base, ...args, '--adapter', adapter]);
    const out = join(folder, 'merged');
    const merged = await kvasir(['merge', base, adapter, out]);
    expect(merged.stdout).toBe(`${out}\n`);
    const alone = await kvasir(['run', out, ...args]);
    const tokensOf = ({ stdout }: { stdout: string }) => (JSON.parse(stdout) as { tokens: number[] }).tokens;
    expect(tokensOf(alone)).toEqual(tokensOf(beside));
    const plain = await kvasir(['run', base, ...args]);
    expect(tokensOf(plain)).not.toEqual(tokensOf(beside));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
