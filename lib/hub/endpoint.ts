/** Requests to the hub: the token, redirects, time limits, and what a status means. */
import { KvasirError } from '../errors.js';

const defaultEndpoint = 'https://huggingface.co';
const mostRedirects = 5;

/** The hub cannot be reached at all (as against: it answered, and said no). */
export function unreachable(endpoint: string, cause: unknown): KvasirError {
  const reason = cause instanceof Error ? deepest(cause).message : String(cause);
  return new KvasirError('DOWNLOAD', `The hub ${endpoint} cannot be reached: ${shortened(reason)}.`, {
    cause,
  });
}

/** What others say may be long, and may hold a name and a password before a host. */
export function shortened(text: string): string {
  const safe = text.replace(/\/\/[^/@\s]+@/g, '//***@');
  return safe.length > 300 ? `${safe.slice(0, 300)}...` : safe;
}

function deepest(error: Error): Error {
  return error.cause instanceof Error && error.cause.message !== '' ? deepest(error.cause) : error;
}

/** HF_HUB_OFFLINE: 1, true, yes or on. */
export function isOffline(env: NodeJS.ProcessEnv = process.env): boolean {
  return /^(1|true|yes|on)$/i.test(env.HF_HUB_OFFLINE ?? '');
}

/**
 * Node's `fetch` may not hear of an abort once its request has been collected as garbage. So the signal is listened to
 * here, too: while the answer is awaited, and (chunksOf) while its body comes.
 */
async function unlessAborted(answer: Promise<Response>, signal?: AbortSignal | null): Promise<Response> {
  if (!signal) return answer;
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason);
      answer.then(({ body }) => body?.cancel()).catch(() => {});
    };
    signal.addEventListener('abort', abort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** The body of an answer; throws the signal's reason as soon as it is aborted. */
export async function* chunksOf({ body }: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = body?.getReader();
  if (reader === undefined) return;
  // Ends a read that waits.
  const stop = (): void => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener('abort', stop, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    void reader.cancel().catch(() => {});
  }
}

/** Nothing of an endpoint with a password is said. */
function checkEndpoint(url: string): void {
  const { protocol, username, password } = URL.canParse(url) ? new URL(url) : {};
  const details = { option: 'HF_ENDPOINT' };
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw new KvasirError('INVALID_OPTION', `HF_ENDPOINT is no URL of a hub: "${shortened(url)}".`, {
      details,
    });
  }
  if (username || password) {
    throw new KvasirError(
      'INVALID_OPTION',
      'HF_ENDPOINT holds a name or a password: take it out, and give a token in HF_TOKEN.',
      { details },
    );
  }
}

export class Endpoint {
  readonly url: string;
  readonly #token: string | undefined;

  constructor(env: NodeJS.ProcessEnv = process.env) {
    this.url = (env.HF_ENDPOINT || defaultEndpoint).replace(/\/+$/, '');
    this.#token = env.HF_TOKEN?.trim() || undefined;
    checkEndpoint(this.url);
    // It goes into a header, and what fetch says of a header that cannot be holds its value.
    if (this.#token !== undefined && !/^[\x21-\x7e]+$/.test(this.#token)) {
      throw new KvasirError(
        'INVALID_OPTION',
        'HF_TOKEN holds a character that no token has, such as a line break or a blank: copy it again.',
        { details: { option: 'HF_TOKEN' } },
      );
    }
  }

  /** Where the bytes of a file are. */
  fileUrl(repository: string, revision: string, name: string): string {
    return `${this.url}/${repository}/resolve/${revision}/${name.split('/').map(encodeURIComponent).join('/')}`;
  }

  /**
   * Like `fetch`, with redirects followed here: the token goes to the endpoint's own origin only, and never from https
   * to http. Rejects with what `fetch` rejects with.
   */
  async fetch(url: string, init: RequestInit = {}): Promise<Response> {
    let target = new URL(url);
    for (let hop = 0; hop <= mostRedirects; ++hop) {
      const headers = new Headers(init.headers);
      headers.delete('authorization');
      if (this.#token && target.origin === new URL(this.url).origin) {
        headers.set('authorization', `Bearer ${this.#token}`);
      }
      const response = await unlessAborted(
        fetch(target, { ...init, headers, redirect: 'manual' }),
        init.signal,
      );
      const location = response.headers.get('location');
      if (response.status < 300 || response.status >= 400 || response.status === 304 || location === null)
        return response;
      await response.body?.cancel();
      const next = URL.canParse(location, target.href) ? new URL(location, target) : undefined;
      if (next === undefined || !/^https?:$/.test(next.protocol) || next.username || next.password) {
        throw new KvasirError('DOWNLOAD', `${target.origin} redirects to what is no address of a file.`);
      }
      if (target.protocol === 'https:' && next.protocol !== 'https:') {
        throw new KvasirError(
          'DOWNLOAD',
          `${target.origin} redirects to the unencrypted ${next.origin}: refused.`,
        );
      }
      target = next;
    }
    throw new KvasirError('DOWNLOAD', `${url} redirects more than ${mostRedirects} times.`);
  }
}

/** What an answer other than success means for the user; undefined when it is worth another try. */
export function refusal(status: number, what: string): KvasirError | undefined {
  if (status === 401 || status === 403) {
    return new KvasirError(
      'DOWNLOAD',
      `The hub refuses ${what} (status ${status}): it does not exist, or it is private or gated. ` +
        'For the latter accept its terms on the hub and set HF_TOKEN to a token that may read it.',
      { details: { status } },
    );
  }
  if (status === 404 || status === 410) {
    return new KvasirError(
      'MODEL_NOT_FOUND',
      `The hub has no ${what} (status ${status}): check its spelling.`,
      {
        details: { status },
      },
    );
  }
  if (status === 408 || status === 429 || status >= 500) return undefined;
  return new KvasirError('DOWNLOAD', `The hub answered ${what} with status ${status}.`, {
    details: { status },
  });
}
