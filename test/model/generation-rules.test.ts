/** Rules on tokens and further samplers, from the public options to what a real model writes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/model.js';

const prompt = 'Once upon a time';

describe('rules on what is generated', () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load('stories-260k');
  });
  afterAll(() => model.dispose());

  const greedy = (options: object) => model.generate(prompt, { maxTokens: 120, temperature: 0, ...options });

  it('a forbidden text does not come, with or without a space before it', async () => {
    const plain = await greedy({});
    expect(plain.text).toContain(' named');
    expect((await greedy({ badWords: ['\n', 'x y z'] })).text.slice(0, 60)).toBe(plain.text.slice(0, 60));
    for (const word of ['named', ' named']) {
      const { text } = await greedy({ badWords: [word] });
      expect(text).not.toContain(' named');
    }
  });

  it('forbidden ids do not come', async () => {
    const [first, second, third] = (await greedy({})).tokens;
    expect((await greedy({ badWords: [[first]] })).tokens[0]).not.toBe(first);
    const { tokens } = await greedy({ badWords: [Int32Array.of(first, second, third)] });
    expect(tokens.slice(0, 2)).toEqual([first, second]);
    expect(tokens[2]).not.toBe(third);
  });

  it('no three tokens come twice', async () => {
    const repeats = (tokens: number[]) => {
      const all = [...model.tokenizer.encode(prompt), ...tokens];
      const triples = all.slice(2).map((_, i) => all.slice(i, i + 3).join());
      return triples.length - new Set(triples).size;
    };
    expect(repeats((await greedy({ maxTokens: 300 })).tokens)).toBeGreaterThan(0);
    expect(repeats((await greedy({ maxTokens: 300, noRepeatNgram: 3 })).tokens)).toBe(0);
  });

  it('stop strings and the end wait for the least number of tokens', async () => {
    const early = await greedy({ stop: '.' });
    expect([early.finishReason, early.tokens.length < 40]).toEqual(['stop', true]);
    const later = await greedy({ stop: '.', minTokens: 40 });
    expect(later.finishReason).toBe('stop');
    expect(later.tokens.length).toBeGreaterThan(40);
    expect(later.text.startsWith(`${early.text}.`)).toBe(true);
    const { contextLength } = model.info;
    const ended = await greedy({ maxTokens: contextLength });
    expect(ended.finishReason).toBe('stop');
    const least = ended.tokens.length + 30;
    const longer = await greedy({ maxTokens: contextLength, minTokens: least });
    expect(longer.tokens.length).toBeGreaterThanOrEqual(least);
    expect(longer.tokens.slice(0, ended.tokens.length)).toEqual(ended.tokens);
  });

  it('DRY breaks a repetition that greedy decoding falls into', async () => {
    const said = 'Lily and Ben. Lily and Ben. Lily and';
    const next = async (options: object) =>
      (await model.generate(said, { temperature: 0, maxTokens: 4, ...options })).text;
    expect(await next({})).toMatch(/^ Ben/);
    expect(await next({ dryMultiplier: 100, drySequenceBreakers: [] })).not.toMatch(/^ Ben/);
  });

  it('samplers of a request: a seed gives the same tokens, in company too', async () => {
    const one = { xtcProbability: 0.5, topNSigma: 2, dynatempRange: 0.3, temperature: 0.9, seed: 4 };
    const options = { ...one, dryMultiplier: 0.8, maxTokens: 60 };
    const alone = await model.generate(prompt, options);
    const others = [5, 6, 7].map((seed) => model.generate(prompt, { mirostat: 2, seed, maxTokens: 60 }));
    const beside = await model.generate(prompt, options);
    expect(beside.tokens).toEqual(alone.tokens);
    const texts = (await Promise.all(others)).map(({ text }) => text);
    expect(new Set([...texts, alone.text]).size).toBe(4);
  });

  it('what leaves no token ends the request alone', async () => {
    const all = Array.from({ length: model.info.vocabSize }, (_, id) => [id]);
    const failing = model.generate(prompt, { badWords: all });
    const fine = greedy({ maxTokens: 5 });
    await expect(failing).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect((await fine).tokens).toHaveLength(5);
  });
});
