/** What INT8 costs SmolLM2, on three of the 24 windows that scripts/quality.mjs measures. */
import { describe, expect, it } from 'vitest';
import { compareRows, measureWindow, readWindows, summarize } from '../scripts/quality.mjs';
import { withModel } from './native-model.js';
import { needsSmollm2, smollm2 } from './smollm2-model.js';

describe('comparing two rows of logits', () => {
  const logits = (probabilities: number[]) => Float32Array.from(probabilities, (p) => Math.log(p) + 20);

  it('is the divergence of known distributions, whatever is added to all logits', () => {
    const { kl, same } = compareRows(
      logits([0.5, 0.25, 0.25]),
      logits([0.25, 0.5, 0.25]).map((x) => x - 30),
    );
    // Each float32 logit near 20 is rounded by up to 1e-6.
    expect(kl).toBeCloseTo(0.25 * Math.log(2), 5);
    expect(same).toBe(false);
  });

  it('is zero for the same row', () => {
    expect(compareRows(logits([0.7, 0.2, 0.1]), logits([0.7, 0.2, 0.1]))).toEqual({ kl: 0, same: true });
  });

  it('summarizes', () => {
    const rows = Array.from({ length: 200 }, (_, i) => ({ kl: i, same: i % 4 !== 0 }));
    expect(summarize(rows)).toEqual({ mean: 99.5, median: 100, p99: 198, sameTop: 0.75 });
  });
});

describe.skipIf(smollm2 === undefined)(`SmolLM2 in INT8${needsSmollm2}`, () => {
  // The limits over all 24 windows are 0.0028 and 96.3 %. Measured there: 0.00239 and 96.96 %; the first three alone,
  // which are easier: 0.00232 (3 % less) and 97.53 % (0.57 more). Their limits are moved by as much. Every kernel
  // table gives the same bits, so that nothing but another format can change these numbers.
  const limits = { kl: 0.0027, sameTop: 0.968 };

  it('stays close to FP32 over three windows of 512 tokens, default load options', {
    timeout: 120_000,
  }, async () => {
    const windows = readWindows();
    expect(windows).toHaveLength(24);
    const settings = { contextLength: 512 };
    const rows = await withModel(smollm2!, { ...settings, dtype: 'fp32' }, (fp32) =>
      withModel(smollm2!, { ...settings, dtype: 'int8' }, async (int8) => {
        const all = [];
        for (const ids of windows.slice(0, 3)) all.push(...(await measureWindow(fp32, int8, ids)));
        return all;
      }),
    );
    expect(rows).toHaveLength(3 * 256);
    const { mean, sameTop } = summarize(rows);
    expect(mean).toBeLessThanOrEqual(limits.kl);
    expect(sameTop).toBeGreaterThanOrEqual(limits.sameTop);
    // Anything nearer is FP32 compared with itself.
    expect(mean).toBeGreaterThan(1e-4);
  });
});
