/** How much a test does: a sample with fixed seeds in `npm test`, the whole sweep in `npm run test:nightly`. */
export const isNightly = process.env.KVASIR_NIGHTLY === '1';

export function amount(sample: number, sweep: number): number {
  return isNightly ? sweep : sample;
}
