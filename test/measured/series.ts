/** Measurements as series: a line of JSON for each run in build/measured/<name>.jsonl, with date, commit and machine. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../lib/native.js';

function commit(): string | undefined {
  try {
    const hash = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: packageRoot, encoding: 'utf8' }).trim();
    const changes = execFileSync('git', ['status', '--porcelain'], { cwd: packageRoot, encoding: 'utf8' });
    return changes === '' ? hash : `${hash} and changes`;
  } catch {
    // Not a checkout.
    return undefined;
  }
}

const machine = {
  cpu: cpus()[0]?.model.trim(),
  cores: availableParallelism(),
  system: `${process.platform} ${release()}`,
  node: process.version,
};

export function record(name: string, values: object): void {
  const folder = join(packageRoot, 'build', 'measured');
  mkdirSync(folder, { recursive: true });
  const line = { date: new Date().toISOString(), commit: commit(), machine, ...values };
  appendFileSync(join(folder, `${name}.jsonl`), `${JSON.stringify(line)}\n`);
}
