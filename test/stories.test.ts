/** stories-260k in FP32 continues its prompt as the reference C program of that model does. */
import { describe, expect, it } from 'vitest';
import { readGolden } from './golden.js';
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
