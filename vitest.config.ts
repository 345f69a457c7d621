/**
 * The tests by what they are (test/<kind>/), each kind a vitest project: `npx vitest run --project unit`.
 * Only the unit tests share the cores. All others load models, start processes or measure, and a neighbour would spoil
 * that: one file at a time, each in a process of its own. `npm run test:nightly` (KVASIR_NIGHTLY=1) adds what measures, and
 * the files *.nightly.test.ts.
 */
import { defineConfig } from 'vitest/config';

const nightly = process.env.KVASIR_NIGHTLY === '1';
const serial = ['native', 'model', 'cli', 'product', ...(nightly ? ['measured'] : [])];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    exclude: nightly ? [] : ['**/*.nightly.test.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          pool: 'threads',
          sequence: { groupOrder: 0 },
        },
      },
      ...serial.map((name, index) => ({
        extends: true as const,
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          pool: 'forks' as const,
          fileParallelism: false,
          sequence: { groupOrder: index + 1 },
        },
      })),
    ],
  },
});
