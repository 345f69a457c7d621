/** One step: which tokens of which requests it holds, and the arrays that native takes. */
import type { StepBatch } from '../native.js';
import type { Pace } from './pace.js';
import type { Request, WantedRow } from './request.js';

/** The next `count` tokens of one request, and where its rows lie in the result. */
export interface Slice {
  request: Request;
  count: number;
  firstRow: number;
  rows: number;
}

export interface StepPlan {
  slices: Slice[];
  /** Tokens beyond one per request. */
  promptTokens: number;
  batch: StepBatch;
}

/** What can run now, all decode tokens and a fair part of the prompts; absent when nothing can. */
export function planStep(active: readonly Request[], pace: Pace): StepPlan | undefined {
  const runnable = active.filter((request) => !request.settled && !request.paused);
  if (runnable.length === 0) return undefined;
  const filling = runnable.filter((request) => request.remaining > 1);
  const budget = pace.promptTokens(runnable.length > 1, runnable.length - filling.length);
  const share = sharePrompts(filling, budget);
  const slices = runnable.map((request) => ({
    request,
    count: share.get(request) ?? 1,
    firstRow: 0,
    rows: 0,
  }));
  let promptTokens = 0;
  for (const count of share.values()) promptTokens += count;
  return { slices, promptTokens, batch: assemble(slices) };
}

/**
 * Equal parts for all prompts, and what a short one does not need for the longer ones: a short prompt beside a long
 * one is done in its own time.
 */
function sharePrompts(filling: readonly Request[], budget: number): Map<Request, number> {
  const share = new Map<Request, number>();
  const shortestFirst = [...filling].sort((a, b) => a.remaining - b.remaining);
  let left = budget;
  shortestFirst.forEach((request, i) => {
    const part = Math.max(1, Math.floor(left / (shortestFirst.length - i)));
    const count = Math.min(part, request.remaining);
    share.set(request, count);
    left -= count;
  });
  return share;
}

/** Fills in the slices' rows. */
function assemble(slices: Slice[]): StepBatch {
  const total = slices.reduce((sum, slice) => sum + slice.count, 0);
  const tokens = new Int32Array(total);
  const places: number[] = [];
  const wanted: WantedRow[] = [];
  let offset = 0;
  for (const slice of slices) {
    const { request, count } = slice;
    tokens.set(request.tokens.subarray(request.computed, request.computed + count), offset);
    const rows = request.wantedRows(count);
    slice.firstRow = wanted.length;
    slice.rows = rows.length;
    for (const row of rows) {
      wanted.push(row);
      places.push(offset + row.position - request.computed);
    }
    offset += count;
  }
  return {
    sequences: Int32Array.from(slices, (slice) => slice.request.sequence as number),
    counts: Int32Array.from(slices, (slice) => slice.count),
    tokens,
    rows: Int32Array.from(places),
    temperatures: Float32Array.from(wanted, (row) => row.temperature),
    fullLogits: Uint8Array.from(wanted, (row) => (row.fullLogits ? 1 : 0)),
    targets: Int32Array.from(wanted, (row) => row.target),
  };
}
