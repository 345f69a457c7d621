/** A route: where it is, what its body may be, and what answers it. */
import type { Answer, Call } from './call.js';
import type { Exchange } from './exchange.js';
import type { ModelPool } from './pool.js';
import type { Protocol } from './protocol.js';
import type { BodySchema } from './validate.js';

interface Place {
  method: 'GET' | 'POST';
  /** As Hono writes it: '/v1/models/:id{.+}'. */
  path: string;
  protocol: Protocol;
  /** A sentence for the description of the API. */
  summary: string;
}

/** It needs a model: the request takes its turn in the queue. */
export interface ModelRoute<Body = unknown> extends Place {
  schema: BodySchema<Body>;
  /** Rejects with a Failure or what the model throws. */
  answer(body: Body, call: Call): Promise<Answer>;
}

/** It is answered at once, by what the server knows. */
export interface PlainRoute extends Place {
  /** Whoever asks, no key is needed. */
  open?: boolean;
  /** Type of the answer, where it is no JSON. */
  content?: string;
  respond(exchange: Exchange, state: ServerState, id: string | undefined): Response | Promise<Response>;
}

export type Route = ModelRoute | PlainRoute;

export interface ServerState {
  readonly pool: ModelPool;
  /** Seconds since 1970 at which the handler was made. */
  readonly since: number;
  /** No new requests: what runs is finished. */
  readonly closing: boolean;
  readonly running: number;
  readonly waiting: number;
  /** The text of /metrics. */
  metrics(): Promise<{ type: string; text: string }>;
}

/** Every body names its model, where several are served. */
export interface NamesModel {
  model?: string;
  stream?: boolean;
}

/** A route of a known body, among others. */
export function modelRoute<Body extends NamesModel>(route: ModelRoute<Body>): ModelRoute {
  return route as unknown as ModelRoute;
}
