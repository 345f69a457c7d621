import { describe, expect, it } from 'vitest';
import { Pace } from '../lib/engine/pace.js';
import { planStep } from '../lib/engine/plan.js';
import { Request, type WantedRow } from '../lib/engine/request.js';

class PlainRequest extends Request {
  paused = false;

  constructor(tokens: number, computed: number, sequence: number) {
    super(
      Int32Array.from({ length: tokens }, (_, i) => 100 * sequence + i),
      tokens,
      { reuse: true },
    );
    this.started(sequence, computed, 0);
  }

  wantedRows(count: number): WantedRow[] {
    if (count < this.remaining) return [];
    return [{ position: this.length - 1, temperature: 0.5, fullLogits: true, target: 7 }];
  }
  take(): void {}
  abort(): void {}
  fail(): void {}
}

class SteadyRequest extends PlainRequest {
  override get steady(): boolean {
    return true;
  }
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
    const plan = planStep(requests, new Pace());
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

  it('leaves out what is paused or settled; with nothing else there is none', () => {
    const [paused, settled, ready] = [0, 1, 2].map((sequence) => new PlainRequest(5, 4, sequence));
    paused.paused = true;
    settled.settled = true;
    expect([...(planStep([paused, settled, ready], new Pace())?.batch.sequences ?? [])]).toEqual([2]);
    expect(planStep([paused, settled], new Pace())).toBeUndefined();
    expect(planStep([], new Pace())).toBeUndefined();
  });

  describe('after one of single tokens', () => {
    const pair = () => [0, 1].map((sequence) => new SteadyRequest(9, 4, sequence));
    const oneTokenLeft = (request: Request) => {
      request.length = request.computed + 1;
    };
    /** Changes the requests, or gives others. */
    type Change = (requests: PlainRequest[]) => PlainRequest[] | undefined;
    /** A step of both, and what the next one is after `change`. */
    function next(requests: PlainRequest[], change?: Change) {
      requests.forEach(oneTokenLeft);
      const last = planStep(requests, new Pace());
      for (const request of requests) ++request.computed;
      requests.forEach(oneTokenLeft);
      const active = change?.(requests) ?? requests;
      const plan = planStep(active, new Pace(), last);
      // Whether it is used again or made anew, it is what it would be made anew.
      expect(plan).toEqual(planStep(active, new Pace()));
      return { again: plan === last, plan };
    }

    it('takes the same arrays with the next tokens', () => {
      const { again, plan } = next(pair());
      expect(again).toBe(true);
      expect([...(plan?.batch.tokens ?? [])]).toEqual([5, 105]);
    });

    it.each<[string, Change]>([
      ['order', (requests) => requests.toReversed()],
      ['sequence', ([a]) => void a.started(7, a.computed, 0)],
      ['paused', ([a]) => void Object.assign(a, { paused: true })],
      ['settled', ([a]) => void Object.assign(a, { settled: true })],
      ['newcomer', (requests) => [...requests, new SteadyRequest(5, 4, 2)]],
      ['one less', ([a]) => [a]],
      ['two tokens', ([a]) => void ++a.length],
    ])('is made anew when something differs: %s', (_, change) => {
      expect(next(pair(), change).again).toBe(false);
    });

    it('is made anew for requests that may want something else', () => {
      expect(next([0, 1].map((sequence) => new PlainRequest(9, 4, sequence))).again).toBe(false);
    });
  });
});
