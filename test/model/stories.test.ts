/** stories-260k in FP32 continues its prompt as the reference C program of that model does. */
import { describe, expect, it } from 'vitest';
import { readGolden } from './golden.js';
import type { NativeModel } from '../../lib/native.js';
import { describeAt, greedy, kernels, logitsOf, withModel } from './native-model.js';

interface Story {
  promptIds: number[];
  ids: number[];
  /** Best minus second-best logit of each step. */
  gaps: number[];
}
const story = readGolden<Story>('stories-260k.json');
const described = await describeAt('stories-260k');

describe.each(kernels)('stories-260k, %s', (isa) => {
  it('200 tokens of "Once upon a time", one by one', async () => {
    expect(story.ids).toHaveLength(200);
    const ids = await withModel(described, { isa }, (model) => greedy(model, story.promptIds, 200));
    expect(ids).toEqual(story.ids);
  });

  // Tokens alone would survive an error of up to the smallest gap.
  it('the best logit leads the second by what the reference says', async () => {
    const fed = [...story.promptIds, ...story.ids.slice(0, -1)];
    const rows = await withModel(described, { isa }, (model) => logitsOf(model, fed));
    const gaps = rows.slice(story.promptIds.length - 1).map((row) => {
      const [second, best] = row.toSorted().slice(-2);
      return best! - second!;
    });
    for (const [i, gap] of gaps.entries()) {
      // Both sides are sums in float32 in their own order, over logits of magnitude 10.
      expect(Math.abs(gap - story.gaps[i]!), `token ${i}`).toBeLessThan(1e-4);
    }
  });
});

describe('results of steps', () => {
  /** Candidates at temperature 1 after each of these tokens. */
  function run(model: NativeModel, sequence: number, tokens: number[], full: boolean) {
    return model.step({
      sequences: Int32Array.of(sequence),
      counts: Int32Array.of(tokens.length),
      tokens: Int32Array.from(tokens),
      rows: Int32Array.from(tokens.keys()),
      temperatures: new Float32Array(tokens.length).fill(1),
      fullLogits: new Uint8Array(tokens.length).fill(full ? 1 : 0),
      targets: Int32Array.from(tokens),
    });
  }

  it('share their arrays, which hold the latest, whatever the rows before', async () => {
    await withModel(described, {}, async (model) => {
      const sequence = model.createSequence();
      const prompt = story.promptIds;
      const expected = await logitsOf(model, [...prompt, ...story.ids.slice(0, 2)]);
      const results = [];
      let at = 0;
      for (const [tokens, full] of [
        [prompt, false],
        [story.ids.slice(0, 1), true],
        [story.ids.slice(1, 2), false],
      ] as const) {
        const result = await run(model, sequence, [...tokens], full);
        results.push(result);
        expect(result.cancelled).toBe(false);
        for (const [row, token] of tokens.entries()) {
          const logits = expected[at++]!;
          const best = result.candidateIds[row * result.candidates]!;
          expect(result.candidateLogits[row * result.candidates]).toBe(logits[best]);
          expect(Math.max(...logits)).toBe(logits[best]);
          expect(result.targetLogits[row]).toBe(logits[token]);
          const sum = logits.reduce((total, x) => total + Math.exp(x), 0);
          expect(result.logSumExp[row]).toBeCloseTo(Math.log(sum), 5);
          expect(result.logSumExp1[row]).toBe(result.logSumExp[row]);
          expect(result.fullLogits[row]).toEqual(full ? logits : null);
        }
      }
      expect(results[2]).toBe(results[1]);
      expect(results[1]).not.toBe(results[0]);
      model.freeSequence(sequence);
    });
  });
});
