/**
 * What a fixed workload costs in instructions, on the avx2 table: a slower kernel shows here on any machine, however
 * busy. Only the graph itself is counted, one thread, INT8; see native/testing/workload_tests.cc.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { record } from './series.js';

const nativeTests = fileURLToPath(new URL('../../build/Release/native_tests', import.meta.url));

/** Instructions of the workload as g++ 12 compiles it; other compilers are not compared. */
const EXPECTED = 11_548_320;
/** A change within this is of no consequence; more, either way, wants a look and then a new number. */
const ALLOWANCE = 0.03;

const version = (command: string, ...args: string[]) =>
  spawnSync(command, args, { encoding: 'utf8' }).stdout?.trim() ?? '';
const reason =
  process.arch !== 'x64' || process.platform !== 'linux'
    ? 'x86 Linux only'
    : !version('valgrind', '--version')
      ? 'no valgrind here, apt-get install valgrind'
      : !version('g++', '-dumpversion').startsWith('12')
        ? 'the number is that of g++ 12'
        : undefined;

function countInstructions(): number {
  const { stderr, stdout } = spawnSync(
    'valgrind',
    [
      '--tool=callgrind',
      '--callgrind-out-file=/dev/null',
      '--toggle-collect=kvasir::Transformer::Forward*',
      nativeTests,
      'workload_of_the_avx2_table',
    ],
    { encoding: 'utf8', env: { ...process.env, KVASIR_CPU_ISA: 'avx2' } },
  );
  expect(stdout).toContain('1 passed, 0 failed');
  return Number(/Collected : (\d+)/.exec(stderr)?.[1]);
}

it.skipIf(reason)(
  `costs as many instructions as before${reason ? ` [skipped: ${reason}]` : ''}`,
  () => {
    const count = countInstructions();
    record('instruction-counts', { workload: 'workload_of_the_avx2_table', count, expected: EXPECTED });
    expect(Math.abs(count / EXPECTED - 1), `${count} instructions, ${EXPECTED} expected`).toBeLessThan(
      ALLOWANCE,
    );
  },
  120_000,
);
