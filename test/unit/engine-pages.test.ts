import { describe, expect, it } from 'vitest';
import { Pages } from '../../lib/engine/pages.js';
import { type Branch, type CacheUse, Request, type WantedRow } from '../../lib/engine/request.js';
import { Random } from '../../lib/generation/random.js';
import { FakeNative } from './engine-fake.js';

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

/** Computes up to `count` more positions of a request's branches, with tokens of their own beyond what is known. */
function advance(
  native: FakeNative,
  pages: Pages,
  request: Request,
  count: number,
  next: () => number,
): void {
  for (const branch of request.live) {
    if (branch.sequence === undefined) continue;
    append(native, branch, count, next);
    pages.fork(request);
  }
}

function append(native: FakeNative, branch: Branch, count: number, next: () => number): void {
  for (let n = 0; n < count && branch.computed < branch.positions; n++) {
    if (branch.computed === branch.length) branch.tokens[branch.length++] = next();
    native.append(branch.sequence as number, [branch.tokens[branch.computed]]);
    branch.computed++;
  }
}

describe('pages', () => {
  it('whoever is let in can run to its end, whatever is shared, kept and evicted', () => {
    let hits = 0;
    let waits = 0;
    let branched = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed);
      const below = (n: number) => Math.floor(random.uniform() * n);
      const native = new FakeNative({ kvCapacity: 160, kvPageSize: 16 });
      const pages = new Pages(native, 160);
      const owners = [{}, {}];
      let active: PlainRequest[] = [];
      for (let turn = 0; turn < 300; turn++) {
        // Two letters that change seldom: prompts share beginnings of all lengths.
        const stem = below(2);
        const prompt = Array.from({ length: 5 + below(80) }, (_, i) =>
          i < 20 + below(60) ? stem : below(2),
        );
        const cache = { reuse: below(8) > 0, owner: below(3) === 0 ? owners[below(2)] : undefined };
        const positions = Math.min(160, prompt.length + below(90));
        let request = new PlainRequest(prompt, positions, cache, 1 + below(4));
        if (pages.mostPositions(request) > 160) request = new PlainRequest(prompt, positions, cache);
        if (pages.place(request, active, 0)) {
          active.push(request);
          if (request.prefix > 0) hits++;
          if (request.branches.length > 1) branched++;
        } else {
          expect(active.length, 'with nothing running, everything fits').toBeGreaterThan(0);
          waits++;
        }
        for (const running of active) advance(native, pages, running, below(40), () => below(2));
        for (const running of active) {
          // Now and then one of its branches ends alone.
          if (below(6) === 0) {
            const some = running.live[below(running.live.length)];
            some.settled = some.sequence !== undefined && some.computed >= running.shared;
            pages.fork(running);
            pages.release(running, below(5) > 0);
          }
          if (!running.over && below(12) > 0 && running.live.length > 0) continue;
          if (!running.over && below(2) === 0) advance(native, pages, running, 160, () => below(2));
          running.settled = true;
          pages.release(running, below(5) > 0);
        }
        active = active.filter((running) => !running.settled);
      }
      // All who are in go to their ends at once.
      for (const running of active) advance(native, pages, running, 160, () => below(2));
      for (const running of active) {
        for (const branch of running.live) expect(branch.computed).toBe(branch.positions);
        running.settled = true;
        pages.release(running, false);
      }
    }
    expect(branched).toBeGreaterThan(1000);
    expect(hits).toBeGreaterThan(1000);
    expect(waits).toBeGreaterThan(1000);
  });

  it('what is kept is evicted before anybody waits, the owned last', () => {
    const native = new FakeNative({ kvCapacity: 160, kvPageSize: 16 });
    const pages = new Pages(native, 160);
    const owner = {};
    const serve = (letter: number, positions: number, cache: CacheUse) => {
      const request = new PlainRequest(new Array(30).fill(letter), positions, cache);
      expect(pages.place(request, [], 0)).toBe(true);
      advance(native, pages, request, positions, () => letter);
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
    advance(native, pages, request, 50, () => 9);
    pages.suspend(request);
    expect(native.usedPages).toBe(0);
    expect(request.branch).toMatchObject({ computed: 0, sequence: undefined, length: 50 });
    expect(pages.place(request, [], 0)).toBe(true);
    advance(native, pages, request, 100, () => 9);
    expect(native.sequenceLength(request.branch.sequence as unknown as number)).toBe(100);
  });
});
