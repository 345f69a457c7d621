import { describe, expect, it } from 'vitest';
import { Pace } from '../../lib/engine/pace.js';

/** Runs a prompt beside a decoding neighbour on a machine with these costs; returns the steps' prompt tokens. */
function prefill(pace: Pace, promptTokens: number, cost: (tokens: number, step: number) => number): number[] {
  const steps: number[] = [];
  for (let left = promptTokens; left > 0; ) {
    const tokens = Math.min(left, pace.promptTokens(true, 1));
    pace.record(tokens, cost(tokens, steps.length));
    steps.push(tokens);
    left -= tokens;
  }
  return steps;
}

describe('pace', () => {
  it('adds about as much as is allowed to a step, however high the base is', () => {
    for (const base of [1, 8, 30]) {
      for (const perToken of [0.2, 1, 3]) {
        const pace = new Pace(512);
        for (let i = 0; i < 5; i++) pace.record(0, base);
        const cost = (tokens: number) => base + perToken * tokens;
        const steps = prefill(pace, 4000, cost).slice(6, -1);
        const added = steps.map((tokens) => perToken * tokens);
        expect(Math.max(...added)).toBeLessThanOrEqual(37);
        expect(Math.min(...added), `base ${base}, ${perToken} per token`).toBeGreaterThan(20);
      }
    }
  });

  it('never adds more than 100 ms after the first step, though tokens grow dearer with depth', () => {
    const pace = new Pace(512);
    pace.record(0, 10);
    const price = (step: number) => 0.5 + step * 0.05;
    const steps = prefill(pace, 2048, (tokens, step) => 10 + price(step) * tokens);
    steps.forEach((tokens, step) => {
      expect(tokens * price(step)).toBeLessThan(100);
    });
  });

  it('recovers from a hiccup', () => {
    const pace = new Pace(512);
    pace.record(0, 10);
    const steady = prefill(pace, 600, (tokens) => 10 + tokens).at(-2) as number;
    pace.record(steady, 400);
    expect(pace.promptTokens(true, 1)).toBeLessThan(steady / 3);
    const after = prefill(pace, 1000, (tokens) => 10 + tokens);
    expect(after.at(-2)).toBeGreaterThanOrEqual(steady * 0.8);
  });

  it('a lone request gets larger steps, within the limit', () => {
    const pace = new Pace(512);
    for (let i = 0; i < 9; i++) pace.record(64, 64);
    expect(pace.promptTokens(true, 1)).toBe(32);
    expect(pace.promptTokens(false, 0)).toBe(248);
    for (let i = 0; i < 20; i++) pace.record(512, 5);
    expect(pace.promptTokens(false, 0)).toBe(512);
    expect(pace.promptTokens(true, 12)).toBe(512 - 12);
    const large = new Pace(2048);
    for (let i = 0; i < 20; i++) large.record(2048, 5);
    expect(large.promptTokens(false, 0)).toBe(2048);
  });
});
