/**
 * Pages of other origins. Those of this machine, and those that are named, may read answers (CORS); a server without keys
 * answers no others at all, since any page in the user's browser could use it.
 */
import { isIP } from 'node:net';
import { Failure } from './failure.js';

const local = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

export class Origins {
  readonly #named: ReadonlySet<string>;
  readonly #open: boolean;

  /** @param open no key is asked for. */
  constructor(named: readonly string[], open: boolean) {
    this.#named = new Set(named);
    this.#open = open;
  }

  /** Throws a Failure for a request of a page that may not ask. */
  check(request: Request): void {
    const origin = request.headers.get('origin');
    if (origin === null || !this.#open || this.#trusts(origin, request)) return;
    throw new Failure('forbidden', 'Pages of this origin may not use the server.', {
      code: 'origin_not_allowed',
    });
  }

  #trusts(origin: string, request: Request): boolean {
    if (local.test(origin) || this.#named.has(origin)) return true;
    // The server's own page. Not under a name: that of a stranger's page can be made to lead here.
    const { origin: own, hostname } = new URL(request.url);
    return origin === own && (isIP(hostname) > 0 || hostname.startsWith('['));
  }

  /** What the browser must be told. */
  headers(request: Request): Record<string, string> {
    const origin = request.headers.get('origin');
    if (origin === null || !(local.test(origin) || this.#named.has(origin))) return {};
    return { 'access-control-allow-origin': origin, vary: 'origin' };
  }

  /** The answer to the browser's question before it sends a request. */
  preflight(request: Request): Response {
    const allowed = this.headers(request);
    if (allowed['access-control-allow-origin'] === undefined) return new Response(null, { status: 403 });
    return new Response(null, {
      status: 204,
      headers: {
        ...allowed,
        'access-control-allow-methods': 'GET, POST, OPTIONS',
        'access-control-allow-headers': request.headers.get('access-control-request-headers') ?? '*',
        'access-control-max-age': '600',
      },
    });
  }
}
