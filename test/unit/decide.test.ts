/** Decisions over the fake native model, against the likelihood of each whole text computed by itself. */
import { describe, expect, it } from 'vitest';
import { parseDecideOptions, weigh } from '../../lib/decide.js';
import { type Bench, bench, EOS, range, VOCAB } from './engine-bench.js';
import { fakeLogits } from './engine-fake.js';

/** log P(text[from..] | text[..from]). */
function logLikelihood(text: readonly number[], from: number): number {
  let sum = 0;
  for (let i = from; i < text.length; i++) {
    const logits = fakeLogits(text.slice(0, i), VOCAB, EOS);
    const total = logits.reduce((all, logit) => all + Math.exp(logit), 0);
    sum += logits[text[i]] - Math.log(total);
  }
  return sum;
}

function softmax(values: number[]): number[] {
  const weights = values.map((value) => Math.exp(value - Math.max(...values)));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

const decided = (made: Bench, texts: number[][], signal?: AbortSignal) =>
  weigh(
    made.engine,
    texts.map((text) => Int32Array.from(text)),
    made.contextLength,
    { signal },
  );

describe('weigh', () => {
  it('is the softmax of the likelihoods, whatever the lengths, beside a neighbour', async () => {
    for (const prompt of [[7], range(3, 16), range(5, 90)]) {
      const answers = [[11], [12, 13], [14, 15, 16, 17], [14, 15, 18], range(9, 40)];
      const texts = answers.map((answer) => [...prompt, ...answer]);
      const made = bench();
      const neighbour = made.generate(range(8, 30), { maxTokens: 20 });
      const got = await decided(made, texts);
      const expected = softmax(texts.map((text) => logLikelihood(text, prompt.length)));
      expect(got.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
      for (const [i, value] of got.entries()) expect(value).toBeCloseTo(expected[i], 6);
      await neighbour;
    }
  });

  it('computes what the texts share once', async () => {
    const made = bench();
    const prompt = range(5, 100);
    await decided(made, [
      [...prompt, 1],
      [...prompt, 2],
      [...prompt, 3, 4],
      [...prompt, 3, 5, 6],
    ]);
    const tokens = made.native.steps.reduce((sum, { counts }) => sum + counts.reduce((a, b) => a + b), 0);
    // The last token of an answer is never computed.
    expect(tokens).toBe(100 + 1 + 2);
    expect(made.native.liveSequences).toBe(0);
  });

  it('takes more answers than a step has sequences', async () => {
    const prompt = range(5, 20);
    const texts = Array.from({ length: 100 }, (_, i) => [...prompt, i, (i * 7) % 250]);
    const got = await decided(bench(), texts);
    const expected = softmax(texts.map((text) => logLikelihood(text, prompt.length)));
    for (const [i, value] of got.entries()) expect(value).toBeCloseTo(expected[i], 6);
  });

  it('counts a shorter answer without the longer ones that begin with it', async () => {
    const prompt = range(5, 20);
    const one = [...prompt, 1];
    const texts = [one, [...one, 0], [...one, 0, 0], [...one, 2], [...prompt, 3]];
    const raw = texts.map((text) => Math.exp(logLikelihood(text, prompt.length)));
    const own = [raw[0] - raw[1] - raw[3], raw[1] - raw[2], raw[2], raw[3], raw[4]];
    const total = own.reduce((a, b) => a + b);
    const got = await decided(bench(), texts);
    for (const [i, value] of got.entries()) expect(value).toBeCloseTo(own[i] / total, 6);
  });

  it('refuses what cannot be, and ends with the reason of an abort', async () => {
    await expect(
      decided(bench(), [
        [1, 2],
        [2, 2],
      ]),
    ).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(decided(bench({}, 64), [range(1, 66), [...range(1, 65), 9]])).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
      details: { tokens: 65, limit: 64 },
    });
    const reason = new Error('enough');
    const made = bench({ stepMs: 1 });
    const stop = new AbortController();
    const late = decided(
      made,
      [
        [...range(1, 600), 1],
        [...range(1, 600), 2, 3],
      ],
      stop.signal,
    );
    stop.abort(reason);
    await expect(late).rejects.toBe(reason);
    await expect(
      decided(
        made,
        [
          [1, 1],
          [1, 2],
        ],
        stop.signal,
      ),
    ).rejects.toBe(reason);
  });
});

describe('its options', () => {
  it('name the answers', () => {
    expect(parseDecideOptions({ choices: ['a', 'b'] }).answers).toEqual(['a', 'b']);
    expect(parseDecideOptions({ score: [-1, 2] }).answers).toEqual([-1, 0, 1, 2]);
    expect(parseDecideOptions({ boolean: true }).answers).toEqual([true, false]);
  });

  it.each([
    [undefined],
    [{}],
    [{ choices: ['a', 'b'], boolean: true }],
    [{ choices: ['a'] }],
    [{ choices: ['a', 'a'] }],
    [{ choices: ['a', ''] }],
    [{ choices: ['a', '\ud800'] }],
    [{ choices: 'ab' }],
    [{ score: [1, 1] }],
    [{ score: [1, 2.5] }],
    [{ score: [0, 1024] }],
    [{ boolean: false }],
    [{ choices: ['a', 'b'], other: 1 }],
  ])('refuse %j', (options) => {
    expect(() => parseDecideOptions(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
