/** API keys: who asks, found in a time that does not tell how much of a key was right. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { Failure } from './failure.js';

/** One who may ask, with what is granted. */
export interface KeyOptions {
  /** The secret, as it follows `Authorization: Bearer` or stands in `x-api-key`. */
  key: string;
  /** What logs call it. Default: 'key-1', 'key-2', ... */
  name?: string;
  /** Most requests of this key that run at a time. Default: no limit of its own. */
  concurrent?: number;
  /** The share of the queue that its requests may take, above 0 and at most 1. Default: 1 for a single key, else 0.5. */
  queueShare?: number;
  /** Requests of keys with a higher one start first. An integer from -100 to 100. Default 0. */
  priority?: number;
}

/** Who a request belongs to, as the queue sees it. */
export interface Holder {
  readonly name: string;
  readonly concurrent: number;
  readonly queueShare: number;
  readonly priority: number;
}

/** Where no keys are set everybody is this one. */
export const anybody: Holder = {
  name: 'anybody',
  concurrent: Number.POSITIVE_INFINITY,
  queueShare: 1,
  priority: 0,
};

const digest = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();

export class KeyRing {
  readonly #entries: readonly { digest: Buffer; holder: Holder }[];

  constructor(keys: readonly KeyOptions[]) {
    this.#entries = keys.map(({ key, name, concurrent, queueShare, priority }, i) => ({
      digest: digest(key),
      holder: {
        name: name ?? `key-${i + 1}`,
        concurrent: concurrent ?? Number.POSITIVE_INFINITY,
        queueShare: queueShare ?? (keys.length === 1 ? 1 : 0.5),
        priority: priority ?? 0,
      },
    }));
  }

  /** Nobody is asked for a key. */
  get open(): boolean {
    return this.#entries.length === 0;
  }

  /** Throws a Failure where a key is needed and none, or a wrong one, is given. */
  holderOf(headers: Headers): Holder {
    if (this.open) return anybody;
    const given = keyIn(headers);
    if (given === undefined) {
      throw new Failure('authentication', 'An API key is needed: Authorization: Bearer <key>.', {
        code: 'missing_api_key',
      });
    }
    const hash = digest(given);
    let found: Holder | undefined;
    // All of them, whichever it is: digests of one length, each compared in constant time.
    for (const entry of this.#entries) if (timingSafeEqual(entry.digest, hash)) found = entry.holder;
    if (found === undefined) {
      throw new Failure('authentication', 'The API key is not known here.', { code: 'invalid_api_key' });
    }
    return found;
  }
}

function keyIn(headers: Headers): string | undefined {
  const bearer = /^Bearer +(.+)$/i.exec(headers.get('authorization') ?? '')?.[1];
  return bearer?.trim() ?? headers.get('x-api-key') ?? undefined;
}
