/** What is drafted from a text, how often it is right, and what a step costs. */
import { expect, it } from 'vitest';
import { Acceptance } from '../../lib/speculation/acceptance.js';
import { LOOKUP_CHANCES, PromptLookup } from '../../lib/speculation/prompt-lookup.js';
import { StepCost } from '../../lib/speculation/step-cost.js';

/** Seeded. */
function* numbers(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 8;
  }
}

/** The latest of the places with the longest match of at least two tokens, by trying all. */
function naive(text: readonly number[], most: number): number[] {
  let place = 0;
  let longest = 1;
  for (let candidate = text.length - 1; candidate >= 2; candidate--) {
    let matched = 0;
    while (
      matched < Math.min(candidate, 32) &&
      text[candidate - 1 - matched] === text[text.length - 1 - matched]
    )
      matched++;
    if (matched > longest) {
      longest = matched;
      place = candidate;
    }
  }
  if (place === 0) return [];
  const grown = [...text];
  for (let i = 0; i < most; i++) grown.push(grown[place + i]!);
  return grown.slice(text.length);
}

it('prompt lookup finds what trying all places finds, however a text grows', () => {
  let found = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const random = numbers(seed);
    const alphabet = 2 + (seed % 9);
    const next = () => random.next().value % alphabet;
    // With few different tokens there are more places than are looked at.
    const text = Array.from({ length: alphabet < 6 ? 30 : 90 }, next);
    const tokens = new Int32Array(1000);
    const lookup = new PromptLookup(1000);
    for (let i = 0; i < 40; i++) {
      tokens.set(text);
      const { tokens: proposed, classes } = lookup.propose(tokens, text.length, 12);
      expect(proposed).toEqual(naive(text, 12));
      expect(classes).toHaveLength(proposed.length);
      for (const of of classes) expect(LOOKUP_CHANCES[of]).toBeDefined();
      if (proposed.length > 0) found++;
      // Behind the text there is what was drafted; it is not the text's.
      tokens.set(proposed, text.length);
      const right = next() % (proposed.length + 1);
      text.push(...proposed.slice(0, right), next());
    }
  }
  expect(found).toBeGreaterThan(600);
});

it('prompt lookup proposes nothing for a text without repetitions, and goes on with one that goes round', () => {
  const text = Int32Array.from({ length: 100 }, (_, i) => i);
  expect(new PromptLookup(200).propose(text, 100, 8).tokens).toEqual([]);
  expect(new PromptLookup(200).propose(text, 1, 8).tokens).toEqual([]);
  const round = Int32Array.from({ length: 20 }, (_, i) => i % 3);
  const { tokens, classes } = new PromptLookup(200).propose(round, 20, 7);
  expect(tokens).toEqual([2, 0, 1, 2, 0, 1, 2]);
  // The longer what matches, the better founded.
  expect(classes.every((of, i) => i === 0 || of >= classes[i - 1]!)).toBe(true);
});

it('a long prompt is entered in parts, and found in the end', () => {
  const long = 20_000;
  const text = new Int32Array(long + 10).fill(7);
  for (let i = 0; i < long; i++) text[i] = i;
  text.set([18_000, 18_001], long);
  const lookup = new PromptLookup(long + 10);
  const proposals = Array.from({ length: 6 }, () => lookup.propose(text, long + 2, 3).tokens);
  expect(proposals[0]).toEqual([]);
  expect(proposals[5]).toEqual([18_002, 18_003, 18_004]);
});

it('chances begin as expected and become what is seen, also where that changes', () => {
  const acceptance = new Acceptance([0.2, 0.9]);
  expect(acceptance.chances([1, 0])).toEqual([0.9, expect.closeTo(0.18)]);
  for (let i = 0; i < 200; i++) acceptance.observe(0, i % 4 > 0);
  expect(acceptance.chance(0)).toBeGreaterThan(0.6);
  expect(acceptance.chance(0)).toBeLessThan(0.8);
  expect(acceptance.chance(1)).toBe(0.9);
  for (let i = 0; i < 100; i++) acceptance.observe(0, false);
  expect(acceptance.chance(0)).toBeLessThan(0.05);
});

it('a step costs what a line through the latest ones says', () => {
  const cost = new StepCost();
  expect(cost.known).toBe(false);
  cost.record(1, 10);
  expect(cost.of(1)).toBeCloseTo(10);
  // Nothing but an expectation: it is above 0 and far below a step.
  expect(cost.price).toBeGreaterThan(0);
  expect(cost.price).toBeLessThan(2);
  for (let i = 0; i < 100; i++) cost.record(1 + (i % 9), 8 + 0.5 * (1 + (i % 9)));
  expect(cost.price).toBeCloseTo(0.5, 1);
  expect(cost.of(9)).toBeCloseTo(12.5, 0);
  // The machine has become slower, and rows dearer.
  for (let i = 0; i < 200; i++) cost.record(1 + (i % 9), 20 + 4 * (1 + (i % 9)));
  expect(cost.price).toBeGreaterThan(3.5);
  expect(cost.sure).toBe(true);
  // Steps of one size tell nothing of what a row costs: what was found stands.
  for (let i = 0; i < 300; i++) cost.record(1, 24);
  expect(cost.sure).toBe(false);
  expect(cost.price).toBeCloseTo(4, 0);
  const before = cost.of(1);
  cost.record(1, 100_000);
  expect(cost.of(1)).toBeLessThan(1.1 * before);
  cost.record(500, 1000);
  expect(cost.of(1)).toBeLessThan(1.1 * before);
});
