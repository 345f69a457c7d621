/** A run whose output a guard sees first: it holds back, replaces or ends the text of the run behind it. */
import { KvasirError } from '../errors.js';
import type { Guard, GuardVerdict } from '../generation/hooks.js';
import { type Generation, type GenerationChunk, type GenerationResult, GenerationRun } from './run.js';

type Type = 'text' | 'reasoning';

/** @param onSettled as a launch has it: called with the result as the guard left it */
export function guardedRun(
  inner: Generation,
  guard: Guard,
  onSettled?: (result: GenerationResult | undefined) => void,
): Generation {
  const run = new GenerationRun();
  const pump = new Pump(inner, guard, run);
  run.attach({ onDemand: () => pump.goOn(), onCancel: () => pump.cancel(), onSettled });
  pump.run().catch((error) => run.fail(error));
  return run;
}

class Pump {
  readonly #inner: AsyncIterator<GenerationChunk, undefined>;
  readonly #result: Generation;
  readonly #guard: Guard;
  readonly #run: GenerationRun;
  readonly #held: Record<Type, string> = { text: '', reasoning: '' };
  readonly #released: Record<Type, string> = { text: '', reasoning: '' };
  #hasEnded = false;
  #wake: (() => void) | undefined;

  constructor(inner: Generation, guard: Guard, run: GenerationRun) {
    this.#inner = inner[Symbol.asyncIterator]();
    this.#result = inner;
    this.#guard = guard;
    this.#run = run;
  }

  goOn(): void {
    this.#wake?.();
  }

  /** The reader has left: so does the guard. */
  cancel(): void {
    void this.#inner.return?.();
    this.goOn();
  }

  async run(): Promise<void> {
    try {
      await this.#pass();
    } catch (error) {
      void this.#inner.return?.();
      // Its result comes all the same.
      this.#result.then(undefined, () => {});
      throw error;
    }
    const result = await this.#result;
    const { text, reasoning } = this.#released;
    const guarded: GenerationResult = { ...result, text };
    if (result.reasoning !== undefined) guarded.reasoning = reasoning;
    if (this.#hasEnded) guarded.finishReason = 'content_filter';
    // It stands for the text that the model wrote.
    if (text !== result.text) delete guarded.object;
    this.#run.finish(guarded, []);
  }

  async #pass(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#inner.next();
      if (done) break;
      if (value.type === 'tool-call') {
        const { tokens, logprobs, text: _, ...piece } = value;
        this.#run.pushAll(tokens, [piece], logprobs ?? []);
      } else {
        if (value.type === 'text') await this.#judge('reasoning', '', { tokens: [] }, true);
        if (!this.#hasEnded) await this.#judge(value.type, value.text, value, false);
      }
      if (this.#hasEnded) {
        void this.#inner.return?.();
        return;
      }
      await this.#room();
    }
    await this.#judge('reasoning', '', { tokens: [] }, true);
    if (!this.#hasEnded) await this.#judge('text', '', { tokens: [] }, true);
  }

  async #judge(
    type: Type,
    more: string,
    { tokens, logprobs }: Pick<GenerationChunk, 'tokens' | 'logprobs'>,
    done: boolean,
  ): Promise<void> {
    const text = this.#held[type] + more;
    if (text === '') {
      if (tokens.length > 0) this.#run.pushAll(tokens, [], logprobs ?? []);
      return;
    }
    const given = await this.#guard(text, { type, released: this.#released[type], done });
    const { release, hold = '', end = false } = readVerdict(given);
    this.#held[type] = done || end ? '' : hold;
    this.#released[type] += release;
    this.#run.pushAll(tokens, release === '' ? [] : [{ type, text: release }], logprobs ?? []);
    if (end) this.#hasEnded = true;
  }

  /** Waits while nobody reads. */
  async #room(): Promise<void> {
    while (this.#run.full) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}

/** Throws INVALID_OPTION. */
function readVerdict(given: string | GuardVerdict): GuardVerdict {
  if (typeof given === 'string') return { release: given };
  const isText = (value: unknown): boolean => typeof value === 'string';
  const { release, hold, end } = given ?? {};
  const fits =
    isText(release) &&
    (hold === undefined || isText(hold)) &&
    (end === undefined || typeof end === 'boolean');
  if (fits) return given;
  throw new KvasirError('INVALID_OPTION', 'guard must give a string or { release, hold, end }.', {
    details: { option: 'guard' },
  });
}
