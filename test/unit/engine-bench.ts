/** An engine over the fake native model, as the tests of the engine use it; each is disposed of after its test. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, vi } from 'vitest';
import { Engine } from '../../lib/engine/engine.js';
import type { CreateSource } from '../../lib/engine/draft-source.js';
import type { Vocabulary } from '../../lib/engine/generation-request.js';
import { requestOf } from '../../lib/engine/launch.js';
import type { Request } from '../../lib/engine/request.js';
import { GenerationRun } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import { FakeNative, type FakeOptions } from './engine-fake.js';

export const VOCAB = 300;
export const EOS = 299;

/** Token n is the text " n"; no end-of-text unless a test wants it. */
export function vocabulary(endTokens: number[] = [EOS]): Vocabulary {
  return {
    size: VOCAB,
    endTokens: new Set(endTokens),
    textOf: (id) => ` ${id}`,
    bytesOf: (id) => Buffer.from(` ${id}`),
    createDecoder: () => ({ push: (id) => ` ${id}`, unseen: () => '', flush: () => '' }),
  };
}

interface StartOptions extends Omit<GenerateOptions, 'adapter'> {
  reuse?: boolean;
  owner?: object;
  adapter?: number;
  endTokens?: number[];
  drafts?: CreateSource;
}

export class Bench {
  readonly native: FakeNative;
  readonly engine: Engine;
  readonly #buffers = new SamplerBuffers(VOCAB);

  constructor(
    options: FakeOptions = {},
    readonly contextLength = 2500,
  ) {
    this.native = new FakeNative({ banned: EOS, ...options });
    this.engine = new Engine(this.native, contextLength);
  }

  start(prompt: number[], options: StartOptions = {}): { run: GenerationRun; request: Request } {
    const { reuse = true, owner, endTokens, adapter, drafts, ...generate } = options;
    const run = new GenerationRun();
    const request = requestOf({
      run,
      prompt: Int32Array.from(prompt),
      settings: parseGenerateOptions(generate, {}, VOCAB),
      contextLength: this.contextLength,
      vocabulary: vocabulary(endTokens),
      buffers: this.#buffers,
      cache: { reuse, owner },
      adapter,
      drafts,
      createdAt: performance.now(),
    });
    run.attach({ onDemand: () => this.engine.wake(), onCancel: () => this.engine.cancel(request) });
    this.engine.submit(request);
    return { run, request };
  }

  generate(prompt: number[], options: StartOptions = {}): GenerationRun {
    return this.start(prompt, options).run;
  }
}

const benches: Bench[] = [];
export function bench(options: FakeOptions = {}, contextLength?: number): Bench {
  const made = new Bench(options, contextLength);
  benches.push(made);
  return made;
}
afterEach(async () => {
  for (const made of benches.splice(0)) await made.engine.dispose();
});

export const range = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => (from + i * 7) % 290);

/** Waits without a timer, so that it does in simulated time too. */
export async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition() && Date.now() < end) await nextTurn();
  expect(condition()).toBe(true);
}

/** So many turns of the event loop: what does not wait for a timer has its turn in each. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn();
}

/**
 * Runs `work` while time passes only in timers, those of the fake model's steps: what `performance.now()` measures
 * does not depend on how busy the machine is.
 */
export async function inSimulatedTime(work: () => Promise<void>): Promise<void> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  // At 0 a time would look as if it had not been taken.
  vi.advanceTimersByTime(1);
  let settled = false;
  try {
    const done = work().finally(() => {
      settled = true;
    });
    while (!settled) {
      await turns(8);
      vi.advanceTimersToNextTimer();
    }
    await done;
  } finally {
    vi.useRealTimers();
  }
}

/** Lets a test destructure a bench. */
export function bound(made: Bench) {
  return { engine: made.engine, native: made.native, generate: made.generate.bind(made) };
}
