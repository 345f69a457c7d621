/** What a session does when its conversation no longer fits the context. */
import { callback, reading, type Rule } from './given.js';
import type { Message } from './prompt.js';
import { readMessages } from './prompt.js';

/**
 * `error`: CONTEXT_OVERFLOW. `drop-turns`: the oldest turns are left out of the prompt, never the system messages nor the
 * last turn. A function gets a copy of the messages of the prompt and gives those to take in their place.
 */
export type SessionOverflow =
  | 'error'
  | 'drop-turns'
  | ((messages: Message[]) => readonly Message[] | Promise<readonly Message[]>);

export const overflowRule: Rule = {
  fits: (v) => v === 'error' || v === 'drop-turns' || callback.fits(v),
  allowed: "'error', 'drop-turns' or a function from messages to messages",
};

interface Encoded {
  ids: Int32Array;
}

export class ConversationFit {
  /** Turns that are left out already. */
  #dropped = 0;
  /** What of them the answer that is under way does without. */
  #next = 0;

  constructor(readonly overflow: SessionOverflow) {}

  /** The conversation is another one: all of it may fit again. */
  reset(): void {
    this.#dropped = 0;
  }

  /** The answer has come: what it did without stays out. */
  keep(): void {
    this.#dropped = this.#next;
  }

  /**
   * Encodes what fits. @param most tokens of a prompt that leaves room for its answer.
   * @returns with the tokens that this call left out; what still does not fit is for the caller to refuse
   */
  async fit<T extends Encoded>(
    messages: readonly Message[],
    most: number,
    encode: (messages: readonly Message[]) => Promise<T>,
  ): Promise<T & { droppedTokens: number }> {
    this.#next = this.#dropped;
    const whole = await encode(withoutTurns(messages, this.#dropped));
    if (whole.ids.length <= most || this.overflow === 'error') return { ...whole, droppedTokens: 0 };
    const kept =
      this.overflow === 'drop-turns'
        ? await this.#dropTurns(messages, most, encode)
        : await encode(await replaced(messages, this.overflow));
    return { ...kept, droppedTokens: Math.max(0, whole.ids.length - kept.ids.length) };
  }

  /** As few turns as possible are left out: looked for by halves, since each look encodes the conversation. */
  async #dropTurns<T extends Encoded>(
    messages: readonly Message[],
    most: number,
    encode: (messages: readonly Message[]) => Promise<T>,
  ): Promise<T> {
    // The last turn stays.
    let high = Math.max(this.#dropped, turnsOf(messages).length - 1);
    let low = Math.min(high, this.#dropped + 1);
    let best = await encode(withoutTurns(messages, high));
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const found = await encode(withoutTurns(messages, middle));
      if (found.ids.length > most) {
        low = middle + 1;
      } else {
        high = middle;
        best = found;
      }
    }
    this.#next = high;
    return best;
  }
}

async function replaced(
  messages: readonly Message[],
  overflow: Exclude<SessionOverflow, string>,
): Promise<Message[]> {
  const given = await overflow(structuredClone([...messages]));
  return reading('What overflow gives', () => readMessages(given));
}

/** Where turns begin: at the user's messages. */
function turnsOf(messages: readonly Message[]): number[] {
  return messages.flatMap(({ role }, i) => (role === 'user' ? [i] : []));
}

/** Without the first `count` turns, but with the system messages before them; the last turn stays. */
function withoutTurns(messages: readonly Message[], count: number): readonly Message[] {
  const turns = turnsOf(messages);
  const dropped = Math.min(count, turns.length - 1);
  if (dropped <= 0) return messages;
  return [...messages.slice(0, turns[0]), ...messages.slice(turns[dropped])];
}
