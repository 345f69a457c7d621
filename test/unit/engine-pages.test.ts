import { describe, expect, it } from 'vitest';
import { Pages } from '../../lib/engine/pages.js';
import { type Branch, type CacheUse, Request, type WantedRow } from '../../lib/engine/request.js';
import { Random } from '../../lib/generation/random.js';
import { FakeNative, type FakeOptions } from './engine-fake.js';

class PlainRequest extends Request {
  readonly paused = false;
  prefix = 0;

  constructor(prompt: number[], positions: number, cache: CacheUse = { reuse: true }, branches = 1) {
    super(Int32Array.from(prompt), positions, cache, branches);
  }

  get over(): boolean {
    return this.branches.every(({ computed, positions }) => computed === positions);
  }

  override onStart(cached: number): void {
    this.prefix = cached;
  }
  wantedRows(): WantedRow[] {
    return [];
  }
  take(): void {}
  abort(): void {}
  fail(): void {}
}

interface Running {
  native: FakeNative;
  pages: Pages;
  active: readonly Request[];
}

/** Computes up to `count` more positions of a request's branches, with tokens of their own beyond what is known. */
function advance(running: Running, request: Request, count: number, next: () => number): void {
  for (const branch of request.live) {
    if (branch.sequence === undefined) continue;
    append(running, request, branch, count, next);
  }
}

/** In steps: known tokens together, others one by one. */
function append(
  { native, pages, active }: Running,
  request: Request,
  branch: Branch,
  most: number,
  next: () => number,
): void {
  const end = Math.min(branch.positions, branch.computed + most);
  while (branch.computed < end) {
    if (branch.computed === branch.length) branch.tokens[branch.length++] = next();
    const { computed, length } = branch;
    const count = Math.min(length, end, computed + native.info.stepTokens) - computed;
    native.append(branch.sequence as number, [...branch.tokens.subarray(computed, computed + count)]);
    branch.computed += count;
    pages.keepCheckpoints([{ request, branch, count, firstRow: 0, rows: 0 }], active);
    pages.fork(request);
  }
}

/** Requests of all kinds come and go; whoever is let in can run to its end, or a table of the fake is full. */
function comeAndGo(
  seed: number,
  options: FakeOptions,
  seen: { hits: number; waits: number; branched: number },
): void {
  const random = new Random(seed);
  const below = (n: number) => Math.floor(random.uniform() * n);
  const native = new FakeNative({ kvCapacity: 160, kvPageSize: 16, ...options });
  const pages = new Pages(native, 160);
  const owners = [{}, {}];
  let active: PlainRequest[] = [];
  const go = (running: PlainRequest, count: number) =>
    advance({ native, pages, active }, running, count, () => below(2));
  for (let turn = 0; turn < 300; turn++) {
    // Two letters that change seldom: prompts share beginnings of all lengths.
    const stem = below(2);
    const prompt = Array.from({ length: 5 + below(80) }, (_, i) => (i < 20 + below(60) ? stem : below(2)));
    const cache = { reuse: below(8) > 0, owner: below(3) === 0 ? owners[below(2)] : undefined };
    const positions = Math.min(160, prompt.length + below(90));
    let request = new PlainRequest(prompt, positions, cache, 1 + below(4));
    if (pages.tooMany(request)) request = new PlainRequest(prompt, positions, cache);
    if (pages.place(request, active, 0)) {
      active.push(request);
      if (request.prefix > 0) seen.hits++;
      if (request.branches.length > 1) seen.branched++;
    } else {
      expect(active.length, 'with nothing running, everything fits').toBeGreaterThan(0);
      seen.waits++;
    }
    for (const running of active) go(running, below(40));
    for (const running of active) {
      // Now and then one of its branches ends alone.
      if (below(6) === 0) {
        const some = running.live[below(running.live.length)];
        some.settled = some.sequence !== undefined && some.computed >= running.shared;
        pages.fork(running);
        pages.release(running, below(5) > 0);
      }
      if (!running.over && below(12) > 0 && running.live.length > 0) continue;
      if (!running.over && below(2) === 0) go(running, 160);
      running.settled = true;
      pages.release(running, below(5) > 0);
    }
    active = active.filter((running) => !running.settled);
  }
  // All who are in go to their ends at once.
  for (const running of active) go(running, 160);
  for (const running of active) {
    for (const branch of running.live) expect(branch.computed).toBe(branch.positions);
    running.settled = true;
    pages.release(running, false);
  }
}

describe('pages', () => {
  it('whoever is let in can run to its end, whatever is shared, kept and evicted', () => {
    const seen = { hits: 0, waits: 0, branched: 0 };
    for (let seed = 1; seed <= 60; seed++) comeAndGo(seed, {}, seen);
    expect(seen.branched).toBeGreaterThan(1000);
    expect(seen.hits).toBeGreaterThan(1000);
    expect(seen.waits).toBeGreaterThan(1000);
  });

  it('the same of windows: smaller, as large as and larger than a step, with few and many pages', () => {
    const seen = { hits: 0, waits: 0, branched: 0 };
    for (const [window, stepTokens, pages] of [
      [1, 16, 2],
      [20, 24, 4],
      [40, 8, 4],
      [40, 24, 6],
      [40, 24, 9],
    ]) {
      const options = { stepTokens, window: { window, pages, every: 32, checkpoints: 3 } };
      for (let seed = 1; seed <= 15; seed++) comeAndGo(seed, options, seen);
    }
    expect(seen.branched).toBeGreaterThan(500);
    expect(seen.hits).toBeGreaterThan(500);
    expect(seen.waits).toBeGreaterThan(1000);
  });

  it('what is kept is evicted before anybody waits, the owned last', () => {
    const native = new FakeNative({ kvCapacity: 160, kvPageSize: 16 });
    const pages = new Pages(native, 160);
    const owner = {};
    const serve = (letter: number, positions: number, cache: CacheUse) => {
      const request = new PlainRequest(new Array(30).fill(letter), positions, cache);
      expect(pages.place(request, [], 0)).toBe(true);
      advance({ native, pages, active: [] }, request, positions, () => letter);
      request.settled = true;
      pages.release(request, true);
      return request.prefix;
    };
    serve(1, 48, { reuse: true, owner });
    serve(2, 48, { reuse: true });
    expect(native.usedPages).toBe(6);
    serve(3, 96, { reuse: true });
    expect(serve(1, 48, { reuse: true, owner })).toBe(29);
    expect(serve(2, 48, { reuse: true })).toBe(0);
  });

  it('a suspended request gives its pages back and starts again', () => {
    const native = new FakeNative({ kvCapacity: 160, kvPageSize: 16 });
    const pages = new Pages(native, 160);
    const request = new PlainRequest([1, 2, 3, 4, 5, 6], 100);
    pages.place(request, [], 0);
    advance({ native, pages, active: [] }, request, 50, () => 9);
    pages.suspend(request);
    expect(native.usedPages).toBe(0);
    expect(request.branch).toMatchObject({ computed: 0, sequence: undefined, length: 50 });
    expect(pages.place(request, [], 0)).toBe(true);
    advance({ native, pages, active: [] }, request, 100, () => 9);
    expect(native.sequenceLength(request.branch.sequence as unknown as number)).toBe(100);
  });
});
