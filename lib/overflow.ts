/** What happens when a prompt no longer fits the context: what is left out, or cut, and how much. */
import { reading } from './given.js';
import { type Message, readMessages } from './prompt.js';
import type { Overflow } from './prompt-options.js';

interface Encoded {
  ids: Int32Array;
}
type Encode<T extends Encoded> = (messages: readonly Message[]) => Promise<T>;

/** What stands where the middle of a message was. */
const gap = '\n[...]\n';
/** Of the characters that can be cut: finer looks would only encode the conversation more often. */
const cutSteps = 512;

export class ConversationFit {
  /** Turns that are left out already. */
  #dropped: number;
  /** What of them the answer that is under way does without. */
  #next = 0;

  constructor(
    readonly overflow: Overflow,
    dropped = 0,
  ) {
    this.#dropped = dropped;
  }

  /** Turns that no prompt has any more. */
  get dropped(): number {
    return this.#dropped;
  }

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
    encode: Encode<T>,
  ): Promise<T & { droppedTokens: number }> {
    this.#next = this.#dropped;
    const whole = await encode(withoutTurns(messages, this.#dropped));
    if (whole.ids.length <= most || this.overflow === 'error') return { ...whole, droppedTokens: 0 };
    const kept = await this.#shortened(messages, most, encode);
    return { ...kept, droppedTokens: Math.max(0, whole.ids.length - kept.ids.length) };
  }

  async #shortened<T extends Encoded>(
    messages: readonly Message[],
    most: number,
    encode: Encode<T>,
  ): Promise<T> {
    if (this.overflow === 'drop-turns') return this.#dropTurns(messages, most, encode);
    if (this.overflow === 'truncate-middle') return cutMiddles(messages, most, encode);
    return encode(await replaced(messages, this.overflow as Exclude<Overflow, string>));
  }

  /** As few turns as possible are left out: looked for by halves, since each look encodes the conversation. */
  async #dropTurns<T extends Encoded>(
    messages: readonly Message[],
    most: number,
    encode: Encode<T>,
  ): Promise<T> {
    // The last turn stays.
    const last = Math.max(this.#dropped, turnsOf(messages).length - 1);
    const first = Math.min(last, this.#dropped + 1);
    const { found, at } = await least(first, last, most, (turns) => encode(withoutTurns(messages, turns)));
    this.#next = at;
    return found;
  }
}

/** The least number from `low` to `high` whose prompt fits, or `high`; each look encodes a conversation. */
async function least<T extends Encoded>(
  low: number,
  high: number,
  most: number,
  encode: (n: number) => Promise<T>,
): Promise<{ found: T; at: number }> {
  let [from, to] = [low, high];
  let best = await encode(to);
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    const found = await encode(middle);
    if (found.ids.length > most) {
      from = middle + 1;
    } else {
      to = middle;
      best = found;
    }
  }
  return { found: best, at: to };
}

/** The middle of a prompt's tokens is left out: as many of its beginning as of its end stay. */
export function cutTokens(
  ids: Int32Array,
  most: number,
  overflow: Overflow | undefined,
): { ids: Int32Array; droppedTokens: number } {
  if (overflow !== 'truncate-middle' || ids.length <= most) return { ids, droppedTokens: 0 };
  const first = Math.ceil(most / 2);
  const kept = new Int32Array(most);
  kept.set(ids.subarray(0, first));
  kept.set(ids.subarray(ids.length - (most - first)), first);
  return { ids: kept, droppedTokens: ids.length - most };
}

/** Of the oldest messages, system messages left out, the middle of each text goes, as little as makes the rest fit. */
function cutMiddles<T extends Encoded>(
  messages: readonly Message[],
  most: number,
  encode: Encode<T>,
): Promise<T> {
  const lengths = messages.map(({ role, content }) =>
    role !== 'system' && typeof content === 'string' ? content.length : 0,
  );
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const cut = (steps: number): Promise<T> => {
    let left = Math.ceil((total * steps) / cutSteps);
    const shorter = messages.map((message, i) => {
      const own = Math.min(left, lengths[i]!);
      left -= own;
      return own === 0 ? message : { ...message, content: withoutMiddle(message.content as string, own) };
    });
    return encode(shorter);
  };
  return least(1, cutSteps, most, cut).then(({ found }) => found);
}

/** @param count UTF-16 units that go. */
function withoutMiddle(text: string, count: number): string {
  const kept = text.length - count;
  const first = Math.ceil(kept / 2);
  const head = text.slice(0, first).replace(/[\ud800-\udbff]$/, '');
  const tail = text.slice(text.length - (kept - first)).replace(/^[\udc00-\udfff]/, '');
  return head + gap + (kept - first > 0 ? tail : '');
}

async function replaced(
  messages: readonly Message[],
  overflow: Exclude<Overflow, string>,
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
