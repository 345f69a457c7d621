import { describe, expect, it } from 'vitest';
import { Pace } from '../../lib/engine/pace.js';
import { planStep } from '../../lib/engine/plan.js';
import { type Branch, Request, type WantedRow } from '../../lib/engine/request.js';

class PlainRequest extends Request {
  paused = false;

  constructor(tokens: number, computed: number, sequence: number) {
    super(
      Int32Array.from({ length: tokens }, (_, i) => 100 * sequence + i),
      tokens,
      { reuse: true },
    );
    this.branch.started(sequence, computed);
  }

  wantedRows(count: number, branch: Branch): WantedRow[] {
    if (count < this.remaining(branch)) return [];
    return [{ position: branch.length - 1, temperature: 0.5, fullLogits: true, target: 7 }];
  }
  take(): void {}
  abort(): void {}
  fail(): void {}
}

describe('a step', () => {
  it('holds all decode tokens and equal parts of the prompts; what a short one leaves goes to the longer', () => {
    const requests = [
      new PlainRequest(500, 0, 0),
      new PlainRequest(10, 9, 1),
      new PlainRequest(203, 200, 2),
      new PlainRequest(300, 0, 3),
    ];
    // Nothing is measured yet, so 32 prompt tokens.
    const plan = planStep(requests, new Pace(512));
    expect(plan?.promptTokens).toBe(32);
    expect(plan?.slices.map(({ count }) => count)).toEqual([15, 1, 3, 14]);
    expect([...(plan?.batch.sequences ?? [])]).toEqual([0, 1, 2, 3]);
    expect([...(plan?.batch.counts ?? [])]).toEqual([15, 1, 3, 14]);
    expect([...(plan?.batch.tokens.subarray(14, 20) ?? [])]).toEqual([14, 109, 400, 401, 402, 300]);
    expect([...(plan?.batch.rows ?? [])]).toEqual([15, 18]);
    expect([...(plan?.batch.temperatures ?? [])]).toEqual([0.5, 0.5]);
    expect([...(plan?.batch.fullLogits ?? [])]).toEqual([1, 1]);
    expect([...(plan?.batch.targets ?? [])]).toEqual([7, 7]);
    expect(plan?.slices.map(({ firstRow, rows }) => [firstRow, rows])).toEqual([
      [0, 0],
      [0, 1],
      [1, 1],
      [2, 0],
    ]);
  });

  it('takes whole sequences where they are seen whole: the first, and those that fit beside it', () => {
    const requests = [20, 40, 10, 3, 1].map((tokens, sequence) => new PlainRequest(tokens, 0, sequence));
    // Nothing is measured yet, so 32 tokens.
    const plan = planStep(requests, new Pace(512), true);
    expect([...(plan?.batch.sequences ?? [])]).toEqual([0, 2, 4]);
    expect([...(plan?.batch.counts ?? [])]).toEqual([20, 10, 1]);
    expect(plan?.promptTokens).toBe(31);
    expect([...(plan?.batch.rows ?? [])]).toEqual([19, 29, 30]);
    // One that is longer than the time for it allows runs alone.
    const [long, short] = [requests[1]!, requests[4]!];
    expect([...(planStep([long, short], new Pace(512), true)?.batch.counts ?? [])]).toEqual([40]);
  });

  it('leaves out what is paused or settled; with nothing else there is none', () => {
    const [paused, settled, ready] = [0, 1, 2].map((sequence) => new PlainRequest(5, 4, sequence));
    paused.paused = true;
    settled.settled = true;
    expect([...(planStep([paused, settled, ready], new Pace(512))?.batch.sequences ?? [])]).toEqual([2]);
    expect(planStep([paused, settled], new Pace(512))).toBeUndefined();
    expect(planStep([], new Pace(512))).toBeUndefined();
  });
});
