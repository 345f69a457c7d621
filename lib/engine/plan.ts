/** One step: which tokens of which branches it holds, and the arrays that native takes. */
import { NO_ADAPTER, type StepBatch, WANTS_LOGITS } from '../native.js';
import type { CheckpointLengths } from './checkpoints.js';
import type { Pace } from './pace.js';
import type { Branch, Request, WantedRow } from './request.js';

/** The next `count` tokens of one branch, and where its rows lie in the result. */
export interface Slice {
  request: Request;
  branch: Branch;
  count: number;
  firstRow: number;
  rows: number;
}

export interface StepPlan {
  slices: Slice[];
  /** Tokens beyond one per branch. */
  promptTokens: number;
  batch: StepBatch;
}

/**
 * What can run now, all decode tokens and a fair part of the prompts; absent when nothing can.
 * @param whole sequences come in one step each.
 * @param checkpoints at which steps of a prompt may have to end.
 */
export function planStep(
  active: readonly Request[],
  pace: Pace,
  whole = false,
  checkpoints?: CheckpointLengths,
): StepPlan | undefined {
  const slices: Slice[] = [];
  for (const request of active) {
    if (request.paused || request.waiting) continue;
    for (const branch of request.live) {
      const { sequence, drafted } = branch;
      if (sequence !== undefined) slices.push({ request, branch, count: 1 + drafted, firstRow: 0, rows: 0 });
    }
  }
  if (slices.length === 0) return undefined;
  if (whole) return planWhole(slices, pace);
  const parts = slices.map((slice) => {
    const toCheckpoint = checkpoints?.untilEnd(slice.request, slice.branch) ?? Number.POSITIVE_INFINITY;
    return { slice, most: Math.min(remainingOf(slice), toCheckpoint) };
  });
  const filling = parts.filter(({ most }) => most > 1);
  const drafted = slices.reduce((sum, { branch }) => sum + branch.drafted, 0);
  const decodeTokens = slices.length - filling.length + drafted;
  const promptTokens = sharePrompts(filling, pace.promptTokens(slices.length > 1, decodeTokens));
  return { slices, promptTokens, batch: assemble(slices) };
}

/** The first of all, and those after it that fit into a step beside it. None waits for tokens one by one. */
function planWhole(slices: readonly Slice[], pace: Pace): StepPlan {
  let left = pace.promptTokens(false, 0);
  const taken = slices.filter((slice, i) => {
    slice.count = remainingOf(slice);
    if (i > 0 && slice.count > left) return false;
    left -= slice.count;
    return true;
  });
  const batch = assemble(taken);
  return { slices: taken, promptTokens: batch.tokens.length, batch };
}

/** Where others wait to fork from a branch it stops once: a state is that of a sequence's end. */
function remainingOf({ request, branch }: Slice): number {
  const left = request.remaining(branch);
  const toFork = request.shared - branch.computed;
  const isAwaited = toFork > 0 && request.live.some(({ sequence }) => sequence === undefined);
  return isAwaited ? Math.min(left, toFork) : left;
}

/**
 * Equal parts for all prompts, and what a short one does not need for the longer ones: a short prompt beside a long
 * one is done in its own time. Fills in the slices' counts; returns their sum.
 */
function sharePrompts(filling: readonly { slice: Slice; most: number }[], budget: number): number {
  const shortestFirst = [...filling].sort((a, b) => a.most - b.most);
  let left = budget;
  shortestFirst.forEach(({ slice, most }, i) => {
    const part = Math.max(1, Math.floor(left / (shortestFirst.length - i)));
    slice.count = Math.min(part, most);
    left -= slice.count;
  });
  return budget - left;
}

/** Fills in the slices' rows. */
function assemble(slices: Slice[]): StepBatch {
  const total = slices.reduce((sum, slice) => sum + slice.count, 0);
  const tokens = new Int32Array(total);
  const types = slices.some(({ request }) => request.types) ? new Int32Array(total) : undefined;
  const places: number[] = [];
  const wanted: WantedRow[] = [];
  let offset = 0;
  for (const slice of slices) {
    const { request, branch, count } = slice;
    tokens.set(branch.tokens.subarray(branch.computed, branch.computed + count), offset);
    types?.set(request.types?.subarray(branch.computed, branch.computed + count) ?? [], offset);
    const rows = request.wantedRows(count, branch);
    slice.firstRow = wanted.length;
    slice.rows = rows.length;
    for (const row of rows) {
      wanted.push(row);
      places.push(offset + row.position - branch.computed);
    }
    offset += count;
  }
  const batch: StepBatch = {
    sequences: Int32Array.from(slices, (slice) => slice.branch.sequence as number),
    counts: Int32Array.from(slices, (slice) => slice.count),
    tokens,
    rows: Int32Array.from(places),
    temperatures: Float32Array.from(wanted, (row) => row.temperature),
    fullLogits: Uint8Array.from(wanted, (row) => (row.fullLogits ? 1 : 0)),
    targets: Int32Array.from(wanted, (row) => row.target),
  };
  if (types !== undefined) batch.types = types;
  // Most steps want logits alone, and have no adapter.
  if (wanted.some((row) => row.wants !== undefined)) {
    batch.wants = Uint8Array.from(wanted, (row) => row.wants ?? WANTS_LOGITS);
  }
  if (slices.some(({ request }) => request.adapter !== NO_ADAPTER)) {
    batch.adapters = Int32Array.from(slices, ({ request }) => request.adapter);
  }
  return batch;
}
