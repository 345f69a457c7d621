/** `kvasir serve`: models behind the protocols of OpenAI and Anthropic, until a signal ends it. */
import type { Server, ServerResponse } from 'node:http';
import { type Command, Option } from 'commander';
import { KvasirError } from '../errors.js';
import type { LoadOptions } from '../options.js';
import type { Handler, HandlerOptions, LogEntry } from '../server/index.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import { UsageError } from './failure.js';
import { collect, parseCount, parseNumber } from './flag-values.js';
import type { Interrupts } from './interrupt.js';
import { say, writeData } from './output.js';

interface ServeFlags extends Record<string, unknown> {
  port: number;
  host: string;
  apiKey?: string[];
  origin?: string[];
  maxConcurrent?: number;
  maxQueue?: number;
  maxBody?: number;
  maxTokens?: number;
  kvCapacity?: number;
  timeout?: number;
  grace?: number;
  memoryBudget?: number;
  speculate?: 'prompt';
  lenient?: boolean;
  page: boolean;
  inspect?: boolean;
  withFp32?: boolean;
  logPrompts?: boolean;
}

const help = `
Each model is an alias, a folder, a .gguf file or hf:org/name[:file]; with a name in front, name=model, requests ask for
it by that name. The first one is loaded at the start, the others at their first request; where --memory-budget is short
the one that was used longest ago gives way. The address goes to stdout, a line of JSON for each request to stderr.

The first SIGINT or SIGTERM ends it when what runs is finished, the second one at once.`;

const seconds = 1000;
const mebibyte = 2 ** 20;

export function registerServe(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('serve')
    .description("serve models in OpenAI's and Anthropic's protocols")
    .argument('[models...]', '[name=]model; nothing: smollm2-135m')
    .option('-p, --port <port>', '0: any free one', parseCount(0), 8080)
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--api-key <key>', 'who may ask; may be given several times (or KVASIR_API_KEYS)', collect)
    .option('--origin <origin>', 'of pages that may ask too; may be given several times', collect)
    .option('--max-concurrent <count>', 'requests of a model that run at a time (default: 64)', parseCount(1))
    .option('--max-queue <count>', 'requests that wait, beyond: 429 (default: 256)', parseCount(0))
    .option('--max-body <MiB>', 'of a request, beyond: 413 (default: 8)', parseCount(1))
    .option(
      '--max-tokens <count>',
      'of an answer whose request names no number (default: 2048)',
      parseCount(1),
    )
    .option('--kv-capacity <tokens>', 'that all requests of a model may hold together', parseCount(1))
    .option('--timeout <seconds>', 'of a request, waiting included (default: 600)', parseNumber)
    .option('--grace <seconds>', 'at the end, for what runs (default: as long as it takes)', parseNumber)
    .option('--memory-budget <MiB>', 'of all models (default: what is available)', parseCount(1))
    .option(
      '--with-fp32',
      'serve the first model in FP32 too, as <name>-fp32, for the page to show beside it',
    )
    .option('--no-page', 'no page to chat in at /')
    .option('--inspect', 'a page to look into the models with, at /inspect')
    .addOption(
      new Option('--speculate <how>', 'prompt: draft what followed the same tokens before').choices([
        'prompt',
      ]),
    )
    .option('--lenient', 'leave out unknown fields of requests, in place of refusing them')
    .option('--log-prompts', 'let the log have the bodies of requests')
    .addHelpText('after', help)
    .action((models: string[], flags: ServeFlags) => serve(models, flags, interrupts));
  addLoadFlags(command);
}

async function serve(models: readonly string[], flags: ServeFlags, interrupts: Interrupts): Promise<void> {
  const { signal } = interrupts;
  const options = handlerOptionsOf(models, flags);
  // Other commands start without it.
  const { createHandler } = await import('../server/index.js');
  const handler = createHandler(options);
  try {
    await handler.preload([firstName(options)], signal);
    const server = await createServer(handler, options);
    const url = await listen(server, flags);
    options.log?.({ event: 'listening', url });
    await writeData(`${url}\n`);
    await untilAborted(signal);
    await shutDown(server, handler, flags.grace);
  } finally {
    await handler.close();
  }
}

/** Throws UsageError. */
function handlerOptionsOf(models: readonly string[], flags: ServeFlags): HandlerOptions {
  const options: LoadOptions = { ...loadOptionsOf(flags), kvCapacity: flags.kvCapacity };
  const log = (entry: LogEntry) => say(JSON.stringify(entry));
  const keys = [...(flags.apiKey ?? []), ...(process.env.KVASIR_API_KEYS ?? '').split(',')];
  const served = (models.length > 0 ? models : ['smollm2-135m']).map((given) => servedOf(given, options));
  const [{ id, model }] = served;
  if (flags.withFp32) {
    served.push({ id: `${id ?? model}-fp32`, model, options: { ...options, dtype: 'fp32' } });
  }
  return {
    models: served,
    keys: keys.map((key) => key.trim()).filter((key) => key !== ''),
    limits: {
      concurrent: flags.maxConcurrent,
      queue: flags.maxQueue,
      maxTokens: flags.maxTokens,
      bodyBytes: flags.maxBody === undefined ? undefined : flags.maxBody * mebibyte,
      timeoutMs: flags.timeout === undefined ? undefined : Math.round(flags.timeout * seconds),
    },
    memoryBudget: flags.memoryBudget === undefined ? undefined : flags.memoryBudget * mebibyte,
    origins: flags.origin,
    speculate: flags.speculate,
    lenient: flags.lenient,
    page: flags.page,
    inspect: flags.inspect,
    logPrompts: flags.logPrompts,
    log,
  };
}

function servedOf(given: string, options: LoadOptions) {
  const [, id, model] = /^([\w.:/-]+)=(.+)$/.exec(given) ?? [undefined, undefined, given];
  if (model === '') throw new UsageError('A model is an alias, a path or hf:org/name[:file].');
  return { id, model, options };
}

function firstName({ models }: HandlerOptions): string {
  const [{ id, model }] = models as { id?: string; model: string }[];
  return id ?? model;
}

async function createServer(handler: Handler, { limits }: HandlerOptions): Promise<Server> {
  const { createAdaptorServer } = await import('@hono/node-server');
  const { RESPONSE_ALREADY_SENT } = await import('@hono/node-server/utils/response');
  const { writeEvents } = await import('../server/node-response.js');
  const timeoutMs = limits?.timeoutMs ?? 600 * seconds;
  const server = createAdaptorServer({
    fetch: async (request, { outgoing }) => {
      const response = await handler(request);
      return writeEvents(response, outgoing as ServerResponse) ? RESPONSE_ALREADY_SENT : response;
    },
    overrideGlobalObjects: false,
    serverOptions: {
      headersTimeout: 20 * seconds,
      requestTimeout: Math.max(60 * seconds, timeoutMs),
      connectionsCheckingInterval: 5 * seconds,
    },
  }) as Server;
  // Longer than load balancers keep theirs: who closes first must not be the one that is asked.
  server.keepAliveTimeout = 65 * seconds;
  // A connection on which nothing moves for so long holds an answer that nobody reads.
  server.timeout = timeoutMs + 60 * seconds;
  return server;
}

/** Resolves with the address. */
function listen(server: Server, { port, host }: ServeFlags): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const message = `Port ${port} of ${host} cannot be listened at: ${error.message}. Give another --port or --host.`;
      reject(new KvasirError('INVALID_OPTION', message, { cause: error }));
    });
    server.listen(port, host, () => {
      const address = server.address();
      const actual = typeof address === 'object' && address !== null ? address.port : port;
      resolve(`http://${host.includes(':') ? `[${host}]` : host}:${actual}`);
    });
  });
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function shutDown(server: Server, handler: Handler, grace: number | undefined): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  await handler.close(grace === undefined ? undefined : grace * seconds);
  // The last answers go out; then connections that are kept for more requests end.
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), seconds);
  await closed;
  clearTimeout(timer);
}
