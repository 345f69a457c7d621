/** `createHandler`: from a request to its answer, whatever server it stands in. */
import { Hono } from 'hono';
import { isKvasirError, KvasirError } from '../errors.js';
import type { Answer, Call } from './call.js';
import { EventStream, streamResponse } from './event-stream.js';
import { Exchange, type RequestFacts } from './exchange.js';
import { Failure, failureOf } from './failure.js';
import { inspectRoutes } from './inspect.js';
import { KeyRing } from './keys.js';
import { type Model, startGeneration } from '../model.js';
import { type Speculate, speculationBeside } from '../speculation/options.js';
import { Metrics } from './metrics.js';
import { type HandlerOptions, type HandlerSettings, parseHandlerOptions } from './options.js';
import { Origins } from './origins.js';
import { type Lease, ModelPool } from './pool.js';
import { anthropic, openAi, type Protocol } from './protocol.js';
import { Queue, type Ticket } from './queue.js';
import { readJson } from './body.js';
import type { ModelRoute, NamesModel, PlainRoute, Route } from './route.js';
import { pageRoutes } from './page-routes.js';
import { routes } from './routes.js';
import { checkBody } from './validate.js';

/** Answers requests; every fault is an answer too. */
export interface Handler {
  (request: Request): Promise<Response>;
  /**
   * Loads models that are given by reference before a request asks for them. Rejects with what `Model.load` rejects with.
   * @param names default: all.
   */
  preload(names?: readonly string[], signal?: AbortSignal): Promise<void>;
  /**
   * Takes no more requests, waits for those that run, then unloads what it has loaded. Idempotent.
   * @param graceMs what runs longer is stopped. Default: no limit but the requests' own.
   */
  close(graceMs?: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @throws INVALID_OPTION. */
export function createHandler(options: HandlerOptions): Handler {
  const server = new ServerCore(parseHandlerOptions(options));
  const handler = (request: Request) => server.handle(request);
  return Object.assign(handler, {
    preload: (names?: readonly string[], signal = new AbortController().signal) =>
      server.preload(names, signal),
    close: (graceMs?: number) => server.close(graceMs),
    [Symbol.asyncDispose]: () => server.close(),
  });
}

type Env = { Bindings: { exchange: Exchange } };

const protocolAt = (path: string): Protocol => (path.startsWith('/v1/messages') ? anthropic : openAi);

class ServerCore {
  readonly pool: ModelPool;
  readonly since = Math.floor(Date.now() / 1000);
  readonly #settings: HandlerSettings;
  readonly #keys: KeyRing;
  readonly #origins: Origins;
  readonly #queue: Queue;
  readonly #metrics: Metrics;
  readonly #app: Hono<Env>;
  readonly #active = new Set<Exchange>();
  #closed: Promise<void> | undefined;
  #onIdle: () => void = () => {};

  constructor(settings: HandlerSettings) {
    this.#settings = settings;
    this.#keys = new KeyRing(settings.keys);
    this.#origins = new Origins(settings.origins, this.#keys.open);
    this.#queue = new Queue(settings.limits);
    this.#metrics = new Metrics(this.#queue);
    this.pool = new ModelPool(settings.models, {
      memoryBudget: settings.memoryBudget,
      onEvent: (event, details) => this.#log({ event, ...details }),
    });
    this.#app = this.#createApp();
  }

  get closing(): boolean {
    return this.#closed !== undefined;
  }

  get running(): number {
    return this.#queue.running;
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  metrics(): Promise<{ type: string; text: string }> {
    return this.#metrics.read();
  }

  /** Never rejects. */
  async handle(request: Request): Promise<Response> {
    if (request.method === 'OPTIONS') return this.#origins.preflight(request);
    const exchange = new Exchange(request, this.#settings.limits.timeoutMs, (ended) => this.#ended(ended));
    this.#active.add(exchange);
    let response: Response;
    try {
      response = await this.#app.fetch(request, { exchange });
    } catch (thrown) {
      response = this.#refuse(exchange, failureOf(thrown));
    }
    response.headers.set('x-request-id', exchange.facts.id);
    // As Anthropic's clients look for it.
    if (protocolAt(exchange.facts.path) === anthropic) response.headers.set('request-id', exchange.facts.id);
    for (const [name, value] of Object.entries(this.#origins.headers(request))) {
      response.headers.set(name, value);
    }
    if (this.closing) response.headers.set('connection', 'close');
    return response;
  }

  async preload(names: readonly string[] | undefined, signal: AbortSignal): Promise<void> {
    try {
      await this.pool.preload(names, signal);
    } catch (error) {
      // Here it is no answer to a stranger: the fault itself.
      if (error instanceof Failure && isKvasirError(error.cause)) throw error.cause;
      if (error instanceof Failure) throw new KvasirError('INVALID_OPTION', error.message, { cause: error });
      throw error;
    }
  }

  close(graceMs?: number): Promise<void> {
    this.#closed ??= this.#shutDown(graceMs);
    return this.#closed;
  }

  async #shutDown(graceMs: number | undefined): Promise<void> {
    const stop = () => {
      const reason = new Failure('unavailable', 'The server shuts down.', { code: 'shutting_down' });
      for (const exchange of this.#active) exchange.abort(reason);
    };
    const timer = graceMs === undefined ? undefined : setTimeout(stop, graceMs);
    if (this.#active.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    clearTimeout(timer);
    await this.pool.close();
  }

  #createApp(): Hono<Env> {
    const app = new Hono<Env>();
    const { page, inspect } = this.#settings;
    const served = [...routes, ...(page ? pageRoutes : []), ...(inspect ? inspectRoutes : [])];
    for (const route of served) {
      app.on(route.method, route.path, ({ env, req }) => this.#route(route, env.exchange, req.param('id')));
    }
    app.notFound(({ env, req }) => {
      const others = served.filter(({ path }) => path === req.path).map(({ method }) => method);
      if (others.length > 0) {
        throw new Failure('method', `${req.path} takes ${others.join(', ')}.`, {
          code: 'method_not_allowed',
        });
      }
      throw new Failure('not-found', `There is nothing at ${env.exchange.facts.path}.`, {
        code: 'not_found',
      });
    });
    app.onError((error) => {
      throw error;
    });
    return app;
  }

  async #route(route: Route, exchange: Exchange, id: string | undefined): Promise<Response> {
    const { request } = exchange;
    exchange.facts.route = route.path;
    this.#origins.check(request);
    if (!('respond' in route && route.open)) exchange.holder = this.#keys.holderOf(request.headers);
    if ('respond' in route) return this.#respondAtOnce(route, exchange, id);
    if (this.closing) {
      throw new Failure('unavailable', 'The server shuts down.', { code: 'shutting_down', retryAfter: 5 });
    }
    return this.#ask(route, exchange);
  }

  async #respondAtOnce(route: PlainRoute, exchange: Exchange, id: string | undefined): Promise<Response> {
    const response = await route.respond(exchange, this, id);
    exchange.facts.status = response.status;
    exchange.end();
    return response;
  }

  /** Body, queue, model, answer. What was taken is given back when the answer is out, or when there is none. */
  async #ask(route: ModelRoute, exchange: Exchange): Promise<Response> {
    const { request, signal, facts, holder } = exchange;
    const { limits, lenient, logPrompts } = this.#settings;
    const json = await readJson(request, limits.bodyBytes, signal);
    if (logPrompts) facts.body = json;
    const body = checkBody(route.schema, json, lenient) as NamesModel;
    const modelId = this.pool.idOf(body.model);
    facts.model = modelId;
    facts.stream = body.stream === true;
    const ticket = await this.#queue.enter(holder, modelId, signal);
    let lease: Lease | undefined;
    try {
      lease = await this.pool.lease(modelId, signal);
      facts.queueMs = Math.round(exchange.elapsedMs * 10) / 10;
      const answer = await route.answer(body, this.#callOf(exchange, lease));
      return await this.#send(answer, { route, exchange, lease, ticket });
    } catch (error) {
      lease?.release();
      ticket.release();
      // What it still runs is for nobody.
      exchange.abort(failureOf(error));
      throw error;
    }
  }

  #callOf(exchange: Exchange, { model, id, speculate = this.#speculateWith(model) }: Lease): Call {
    return {
      model,
      generate: (prompt, options, variables) =>
        startGeneration(
          model,
          prompt,
          { ...options, speculate: speculationBeside(speculate, options) },
          { variables },
        ),
      modelId: id,
      id: exchange.facts.id,
      created: Math.floor(Date.now() / 1000),
      signal: exchange.signal,
      abort: (reason) => exchange.abort(reason),
      limits: this.#settings.limits,
      facts: exchange.facts,
    };
  }

  /** What holds for all models, for those that can. */
  #speculateWith({ info }: Model): Speculate {
    return info.stateSlots === 0 ? this.#settings.speculate : false;
  }

  async #send(answer: Answer, taken: Taken): Promise<Response> {
    const { route, exchange, lease, ticket } = taken;
    const giveBack = (failure?: Failure) => {
      lease.release();
      ticket.release();
      exchange.facts.status = 200;
      exchange.end(failure);
    };
    if ('json' in answer) {
      giveBack();
      return Response.json(answer.json);
    }
    const { protocol } = route;
    const { id } = exchange.facts;
    const stream = new EventStream(answer.events, {
      signal: exchange.signal,
      ping: protocol.ping,
      pingMs: this.#settings.pingMs,
      stallMs: this.#settings.stallMs,
      failed: (failure) => protocol.errorEvent(failure, id),
      onLeave: (reason) => exchange.abort(reason),
      onEnd: giveBack,
    });
    // Made while the model computes: from the first event on nothing keeps it back.
    const response = streamResponse(stream, streamHeaders);
    await stream.begin();
    return response;
  }

  #refuse(exchange: Exchange, failure: Failure): Response {
    exchange.end(failure);
    const { path, id } = exchange.facts;
    const headers: Record<string, string> = {};
    if (failure.retryAfter !== undefined) headers['retry-after'] = String(failure.retryAfter);
    if (failure.kind === 'authentication') headers['www-authenticate'] = 'Bearer';
    return Response.json(protocolAt(path).error(failure, id), { status: failure.status, headers });
  }

  #ended(exchange: Exchange): void {
    this.#active.delete(exchange);
    this.#metrics.take(exchange.facts);
    const { facts } = exchange;
    const level = facts.status >= 500 ? 'error' : 'info';
    this.#log({ event: 'request', level, ...facts });
    if (this.#active.size === 0) this.#onIdle();
  }

  #log(entry: { event: string } & Partial<RequestFacts> & Record<string, unknown>): void {
    const { log } = this.#settings;
    if (log === undefined) return;
    try {
      log({ time: new Date().toISOString(), ...entry });
    } catch {
      // What the caller's log throws is no reason to answer nobody.
    }
  }
}

interface Taken {
  route: ModelRoute;
  exchange: Exchange;
  lease: Lease;
  ticket: Ticket;
}

const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
};
