/** Passages in a budget: numbered, counted as a whole, and said what is left out. */
import { describe, expect, it } from 'vitest';
import { citedPassages, packPassages } from '../../lib/tools/passages.js';

/** A token for each four characters. */
const tokenizer = { count: async (text: string) => Math.ceil(text.length / 4) };

describe('packPassages', () => {
  it('takes what fits, in order, and says what does not', async () => {
    const passages = [{ text: 'Oslo is in Norway.', title: 'Oslo' }, 'x'.repeat(4000), 'Bergen has rain.'];
    const packed = await packPassages(tokenizer, passages, { maxTokens: 60, instruction: 'Cite.' });
    expect(packed.text).toBe('Cite.\n\n[1] Oslo\nOslo is in Norway.\n\n[2]\nBergen has rain.');
    expect(packed).toMatchObject({ tokens: Math.ceil(packed.text.length / 4), leftOut: [1] });
    expect(packed.passages).toEqual([
      { number: 1, index: 0, cut: false },
      { number: 2, index: 2, cut: false },
    ]);
  });

  it('cuts at a sentence where much of it fits, and never beyond the budget', async () => {
    const text =
      'One sentence is here. Another one follows it. A third one is longer than the others are. And a fourth.';
    for (let maxTokens = 1; maxTokens < 40; ++maxTokens) {
      const packed = await packPassages(tokenizer, [text], { maxTokens, instruction: '' });
      expect(packed.tokens).toBeLessThanOrEqual(maxTokens);
      expect(packed.leftOut).toEqual(packed.passages.length === 0 ? [0] : []);
    }
    const { text: cut, passages } = await packPassages(tokenizer, [text], { maxTokens: 17, instruction: '' });
    expect(cut).toBe('[1]\nOne sentence is here. Another one follows it. …');
    expect(passages).toEqual([{ number: 1, index: 0, cut: true }]);
    const whole = await packPassages(tokenizer, [text], { maxTokens: 17, instruction: '', cut: false });
    expect(whole).toMatchObject({ text: '', passages: [], leftOut: [0] });
  });

  it('refuses what is no passage or no budget', async () => {
    const refused = { code: 'INVALID_OPTION' };
    for (const wrong of [5, [5], [{ title: 'x' }], ['\ud800'], [{ text: 'x', title: 5 }], [null]]) {
      await expect(packPassages(tokenizer, wrong as never, { maxTokens: 9 })).rejects.toMatchObject(refused);
    }
    await expect(packPassages(tokenizer, [], {} as never)).rejects.toMatchObject(refused);
    await expect(packPassages(tokenizer, [], { maxTokens: 3 })).rejects.toMatchObject(refused);
    await expect(packPassages(tokenizer, [], { maxTokens: 30, size: 1 } as never)).rejects.toMatchObject(
      refused,
    );
  });
});

it('citedPassages reads the numbers that there are', async () => {
  const packed = await packPassages(tokenizer, ['a', 'b', 'c'], { maxTokens: 60 });
  const cited = citedPassages('It rains [3]. So [1, 3; 9] and [x] and [2 ].', packed);
  expect(cited.map(({ index }) => index)).toEqual([2, 0]);
});
