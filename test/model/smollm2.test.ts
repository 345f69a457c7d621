/** SmolLM2-135M in FP32 against PyTorch in float64. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeModel } from '../../lib/native.js';
import { differenceOf, type GoldenError, type GoldenTensor, readGolden, valuesOf } from './golden.js';
import { greedy, loadNative, logitsOf } from './native-model.js';
import { needsSmollm2, smollm2 } from './smollm2-model.js';

interface Logits {
  /** Of PyTorch in float32. */
  float32Error: GoldenError;
  prompts: { ids: number[]; positions: number[]; vocabIds: number[]; logits: GoldenTensor }[];
}
interface Teacher {
  ids: number[];
  argmax: number[];
  gaps: GoldenTensor;
  nextLogprobs: GoldenTensor;
}
interface Greedy {
  runs: { name: string; promptIds: number[]; ids: number[] }[];
}

describe.skipIf(smollm2 === undefined)(`SmolLM2 in FP32${needsSmollm2}`, () => {
  const golden = readGolden<Logits>('smollm2/logits.json');
  const worst = 2 * golden.float32Error.max;
  let model: NativeModel;
  beforeAll(async () => {
    model = await loadNative(smollm2!, { contextLength: 512 });
  });
  afterAll(() => model?.dispose());

  it('errs at most twice as much as PyTorch in float32, over ten prompts', async () => {
    const actual: number[] = [];
    const expected: number[] = [];
    for (const { ids, positions, vocabIds, logits } of golden.prompts) {
      for (const row of await logitsOf(model, ids, positions)) {
        for (const id of vocabIds) actual.push(row[id]!);
      }
      expected.push(...valuesOf(logits));
    }
    const { max, rms } = differenceOf(actual, expected);
    expect(max).toBeLessThanOrEqual(worst);
    expect(rms).toBeLessThanOrEqual(2 * golden.float32Error.rms);
  });

  describe('teacher-forced over 480 tokens', () => {
    const teacher = readGolden<Teacher>('smollm2/teacher.json');
    const n = teacher.ids.length;
    const run = async () => {
      const sequence = model.createSequence();
      const result = await model.step({
        sequences: Int32Array.of(sequence),
        counts: Int32Array.of(n),
        tokens: Int32Array.from(teacher.ids),
        rows: Int32Array.from({ length: n }, (_, i) => i),
        temperatures: new Float32Array(n),
        fullLogits: new Uint8Array(n),
        targets: Int32Array.from({ length: n }, (_, i) => teacher.ids[i + 1] ?? -1),
      });
      model.freeSequence(sequence);
      return result;
    };

    it('has the best token of the reference wherever its lead is above 1e-3, and that lead', async () => {
      const { candidateIds, candidateLogits, candidates } = await run();
      const gaps = valuesOf(teacher.gaps);
      expect(n).toBe(480);
      expect(gaps.filter((gap) => gap > 1e-3).length).toBeGreaterThan(470);
      for (let i = 0; i < n; ++i) {
        const best = i * candidates;
        if (gaps[i]! > 1e-3) expect(candidateIds[best], `after token ${i}`).toBe(teacher.argmax[i]);
        // The difference of two logits.
        const lead = candidateLogits[best]! - candidateLogits[best + 1]!;
        expect(Math.abs(lead - gaps[i]!), `lead after token ${i}`).toBeLessThan(2 * worst);
      }
    });

    it('gives the next token the log-probability of the reference', async () => {
      const { targetLogits, logSumExp1 } = await run();
      const logprobs = [...targetLogits].slice(0, n - 1).map((logit, i) => logit - logSumExp1[i]!);
      // A logit, and the mean of all of them.
      expect(differenceOf(logprobs, valuesOf(teacher.nextLogprobs)).max).toBeLessThan(2 * worst);
    });
  });

  it.each(readGolden<Greedy>('smollm2/greedy.json').runs)(
    'continues "$name" greedily as the reference',
    async (run) => {
      expect(await greedy(model, run.promptIds, run.ids.length)).toEqual(run.ids);
    },
  );
});
