/** The kernel tables of AArch64, cross-compiled and run by QEMU on a processor for each (scripts/arm.mjs). */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { findArmTools, processors } from '../../scripts/arm.mjs';

const script = fileURLToPath(new URL('../../scripts/arm.mjs', import.meta.url));
const ready = findArmTools() !== undefined;
const skipped = ready ? '' : ' [skipped: no compiler for AArch64 or no QEMU here]';

it.skipIf(!ready)(
  `each kernel table of AArch64 equals the scalar one${skipped}`,
  () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
    expect(status, stdout + stderr).toBe(0);
    for (const { cpu, table } of processors) {
      expect(stdout).toMatch(new RegExp(`^${cpu} \\(${table}\\): [1-9]\\d* passed, 0 failed$`, 'm'));
    }
  },
  3_600_000,
);
