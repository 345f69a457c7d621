/** The arrays of a step's result, which steps share: what JavaScript does with their memory must not reach the next step. */
import { expect, it } from 'vitest';
import { describeAt, withModel } from './native-model.js';

const batch = (sequence: number, token: number) => ({
  sequences: Int32Array.of(sequence),
  counts: Int32Array.of(1),
  tokens: Int32Array.of(token),
  rows: Int32Array.of(0),
  temperatures: Float32Array.of(1),
  fullLogits: Uint8Array.of(0),
  targets: Int32Array.of(-1),
});

it('are made anew when their memory was transferred away, and shared else', async () => {
  const model = await describeAt('stories-260k');
  await withModel(model, { contextLength: 128 }, async (native) => {
    const expected = [];
    const whole = native.createSequence();
    for (let i = 0; i < 4; i++) {
      const { candidateIds, logSumExp } = await native.step(batch(whole, 5 + i));
      expected.push({ ids: candidateIds.slice(), sum: logSumExp[0] });
    }
    const other = native.createSequence();
    let last: unknown;
    for (let i = 0; i < 4; i++) {
      const result = await native.step(batch(other, 5 + i));
      expect(result.candidateIds).toEqual(expected[i]?.ids);
      expect(result.logSumExp[0]).toBe(expected[i]?.sum);
      // One after the other: of the largest array, of a small one, and of none.
      if (i === 0)
        structuredClone(result.candidateIds, { transfer: [result.candidateIds.buffer as ArrayBuffer] });
      if (i === 1) structuredClone(result.logSumExp, { transfer: [result.logSumExp.buffer as ArrayBuffer] });
      if (i === 3) expect(result).toBe(last);
      last = result;
    }
  });
});
