/** Who runs next: bounds, order, shares of keys. */
import { describe, expect, it } from 'vitest';
import { Failure } from '../../lib/server/failure.js';
import type { Holder } from '../../lib/server/keys.js';
import { Queue, type Ticket } from '../../lib/server/queue.js';

const holder = (name: string, change: Partial<Holder> = {}): Holder => ({
  name,
  concurrent: Number.POSITIVE_INFINITY,
  queueShare: 1,
  priority: 0,
  ...change,
});
const never = new AbortController().signal;
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Starts of requests in their order; `end` ends the one that started first of those that run. */
class Starts {
  readonly names: string[] = [];
  readonly #tickets: Ticket[] = [];

  constructor(readonly queue: Queue) {}

  enter(who: Holder, lane = 'm', signal = never): Promise<unknown> {
    return this.queue.enter(who, lane, signal).then((ticket) => {
      this.names.push(who.name);
      this.#tickets.push(ticket);
    });
  }

  async end(): Promise<void> {
    this.#tickets.shift()!.release();
    await settle();
  }
}

describe('the queue', () => {
  it('lets so many run and refuses the one beyond its bound, with when to come again', async () => {
    const starts = new Starts(new Queue({ concurrent: 2, queue: 1 }));
    const a = holder('a');
    await Promise.all([starts.enter(a), starts.enter(a)]);
    const third = starts.enter(a);
    const refused = await starts.enter(a).catch((error: unknown) => error as Failure);
    expect(refused).toBeInstanceOf(Failure);
    expect((refused as Failure).status).toBe(429);
    expect((refused as Failure).retryAfter).toBeGreaterThanOrEqual(1);
    expect(starts.queue.running).toBe(2);
    expect(starts.queue.waiting).toBe(1);
    await starts.end();
    await third;
    expect(starts.queue.waiting).toBe(0);
    // The place in the queue is free again.
    void starts.enter(a);
    expect(starts.queue.waiting).toBe(1);
  });

  it('a ticket counts once, however often it is released', async () => {
    const queue = new Queue({ concurrent: 1, queue: 9 });
    const ticket = await queue.enter(holder('a'), 'm', never);
    ticket.release();
    ticket.release();
    expect(queue.running).toBe(0);
    await queue.enter(holder('a'), 'm', never);
    expect(queue.running).toBe(1);
  });

  it('keys take turns, whoever sends more', async () => {
    const starts = new Starts(new Queue({ concurrent: 1, queue: 100 }));
    const [many, few] = [holder('many'), holder('few')];
    for (let i = 0; i < 4; i++) void starts.enter(many);
    for (let i = 0; i < 2; i++) void starts.enter(few);
    await settle();
    for (let i = 0; i < 5; i++) await starts.end();
    expect(starts.names).toEqual(['many', 'few', 'many', 'few', 'many', 'many']);
  });

  it('the key with fewer running goes first', async () => {
    const starts = new Starts(new Queue({ concurrent: 3, queue: 100 }));
    const [a, b] = [holder('a'), holder('b')];
    await starts.enter(b);
    await Promise.all([starts.enter(a), starts.enter(a)]);
    void starts.enter(a);
    void starts.enter(b);
    await settle();
    // Ends the one of b: it has none running, a has two.
    await starts.end();
    expect(starts.names.at(-1)).toBe('b');
  });

  it('a higher priority goes first', async () => {
    const starts = new Starts(new Queue({ concurrent: 1, queue: 100 }));
    const [low, high] = [holder('low'), holder('high', { priority: 1 })];
    for (const one of [low, low, high, high]) void starts.enter(one);
    await settle();
    for (let i = 0; i < 3; i++) await starts.end();
    expect(starts.names).toEqual(['low', 'high', 'high', 'low']);
  });

  it('a key runs no more than its own limit, and others pass it', async () => {
    const starts = new Starts(new Queue({ concurrent: 4, queue: 100 }));
    const [one, other] = [holder('one', { concurrent: 1 }), holder('other')];
    void starts.enter(one);
    void starts.enter(one);
    void starts.enter(other);
    await settle();
    expect(starts.names).toEqual(['one', 'other']);
    await starts.end();
    expect(starts.names).toEqual(['one', 'other', 'one']);
  });

  it('a key fills no more than its share of the queue', async () => {
    const starts = new Starts(new Queue({ concurrent: 1, queue: 4 }));
    const [greedy, other] = [holder('greedy', { queueShare: 0.5 }), holder('other', { queueShare: 0.5 })];
    await starts.enter(greedy);
    void starts.enter(greedy);
    void starts.enter(greedy);
    await expect(starts.enter(greedy)).rejects.toMatchObject({ kind: 'busy' });
    void starts.enter(other);
    expect(starts.queue.waiting).toBe(3);
  });

  it('models have lanes of their own', async () => {
    const starts = new Starts(new Queue({ concurrent: 1, queue: 4 }));
    await starts.enter(holder('a'), 'one');
    await starts.enter(holder('a'), 'other');
    expect(starts.queue.running).toBe(2);
  });

  it('who leaves while it waits makes room, and rejects with why', async () => {
    const starts = new Starts(new Queue({ concurrent: 1, queue: 1 }));
    const a = holder('a');
    await starts.enter(a);
    const left = new AbortController();
    const waiting = starts.enter(a, 'm', left.signal);
    left.abort(new Error('left'));
    await expect(waiting).rejects.toThrow('left');
    expect(starts.queue.waiting).toBe(0);
    await expect(starts.enter(a, 'm', left.signal)).rejects.toThrow('left');
    await starts.end();
    expect(starts.queue.running).toBe(0);
  });
});
