/**
 * The tests by what they are (test/<kind>/), each kind a vitest project: `npx vitest run --project unit`. As many files at
 * a time as there are cores, up to four; all but the unit tests in processes of their own, as they load models and set the
 * environment. What measures time, or counts the threads of the machine (*.alone.test.ts), comes last, without neighbours.
 * `npm run test:nightly` (KVASIR_NIGHTLY=1) adds test/measured/, and the files *.nightly.test.ts.
 */
import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

const nightly = process.env.KVASIR_NIGHTLY === '1';
const kinds = ['unit', 'native', 'model', 'cli', 'product'];
const alone = '**/*.alone.test.ts';
const exclude = [...configDefaults.exclude, ...(nightly ? [] : ['**/*.nightly.test.ts'])];

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      ...kinds.map((name) => ({
        extends: true as const,
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          exclude: [...exclude, alone],
          pool: name === 'unit' ? ('threads' as const) : ('forks' as const),
          maxWorkers: Math.min(4, availableParallelism()),
          sequence: { groupOrder: 0 },
        },
      })),
      {
        extends: true,
        test: {
          name: 'alone',
          include: [`test/${alone}`, ...(nightly ? ['test/measured/**/*.test.ts'] : [])],
          exclude,
          pool: 'forks',
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
