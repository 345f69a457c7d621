// A server under load, beside the engine alone: node scripts/measure/server-load.mjs [model] [seconds] [clients]
// `kvasir serve` runs in a process of its own and this process holds its clients (200), who ask for mixed prompts as fast as
// they are answered; then the same requests run in the engine of a third process, 64 at a time, while this one takes as much of
// the processors as its clients did. Prints one object:
// - firstToken: ms from request to first event over HTTP, less the engine's own, one client, 100 short requests
// - perEventUs: time of the server's main thread an event, and of the engine's alone a token: their difference is HTTP's
// - tokensPerSecond, and tokens for each second of the processors' time: the same work, whatever neighbours do; the server's
//   part of the engine's, by the clock (shareOfRate) and by the processors (share)
// - clientsShare: processors that the clients took
// - longestMs: the longest turn of the main thread's event loop, in time of that thread: of all callbacks that came together
// With `callbacks` at the end it measures the callbacks of the server's main thread instead, as callback-probe.mjs does, while it
// meets its clients (coldly: V8 has compiled nothing) and then for so many seconds:
//   node scripts/measure/server-load.mjs smollm2-135m 20 200 callbacks
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requestOf, runClients } from './load-clients.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const round = (value, digits = 2) => Number(value.toFixed(digits));

/** Starts a process with the probe of its main thread; `read` tells what it took since the last time. */
function startProbed(args, folder, probe = 'loop-probe.mjs') {
  const file = join(folder, `probe-${args.length}.json`);
  const env = { ...process.env, NODE_OPTIONS: `--import ${here(`./${probe}`)}`, KVASIR_PROBE: file };
  const child = spawn(process.execPath, args, { env, stdio: 'pipe' });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    log += text;
  });
  // A process that ends before it was told to has failed: so does the measurement.
  const gone = new Promise((_, reject) =>
    child.once('exit', (code) => reject(new Error(`ended (${code})\n${log}`))),
  );
  gone.catch(() => {});
  const line = () =>
    Promise.race([
      gone,
      new Promise((resolve) => child.stdout.once('data', (text) => resolve(String(text).trim()))),
    ]);
  const changed = () => statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  const read = async () => {
    const before = changed();
    child.kill('SIGUSR2');
    while (changed() === before) await sleep(5);
    await sleep(20);
    return JSON.parse(readFileSync(file, 'utf8'));
  };
  return { child, line, read, logLines: () => log.split('\n').slice(0, -1) };
}

/** Ms from the request to its first event, and the engine's own by the server's log. */
async function firstTokens(server, address, count) {
  const seen = new Map();
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    const response = await fetch(`${address}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: `One day ${i}`, max_tokens: 2, ignore_eos: true, stream: true }),
    });
    const reader = response.body.getReader();
    await reader.read();
    seen.set(response.headers.get('x-request-id'), performance.now() - started);
    while (!(await reader.read()).done);
  }
  await sleep(200);
  const entries = server.logLines().map((line) => JSON.parse(line));
  const over = entries.flatMap(({ id, ttftMs, queueMs }) => {
    const http = seen.get(id);
    return http === undefined ? [] : [{ http, own: ttftMs - queueMs }];
  });
  return {
    requests: over.length,
    httpMs: round(median(over.map(({ http }) => http))),
    engineMs: round(median(over.map(({ own }) => own))),
    differenceMs: round(median(over.map(({ http, own }) => http - own))),
  };
}

/** Its caller's next line. */
const told = () => new Promise((resolve) => process.stdin.once('data', resolve));

/** The engine alone: in a process that this script is started as once more. */
async function runEngine(reference, seconds) {
  const { Model } = await import('../../dist/index.js');
  const model = await Model.load(reference, { kvCapacity: 32_768 });
  console.log('ready');
  await told();
  const end = performance.now() + seconds * 1000;
  const started = performance.now();
  let next = 0;
  let tokens = 0;
  const worker = async () => {
    while (performance.now() < end) {
      const asked = requestOf(next++);
      const run = model.generate(asked.prompt, { maxTokens: asked.tokens, ignoreEos: true });
      for await (const chunk of run) tokens += chunk.tokens.length;
    }
  };
  await Promise.all(Array.from({ length: 64 }, worker));
  console.log(JSON.stringify({ tokens, ms: performance.now() - started }));
  await told();
  await model.dispose();
  process.stdin.unref();
}

/** What a second of doing nothing costs: the probe wakes the thread a thousand times, which is much beside a slow model. */
async function idleShare(probed) {
  await probed.read();
  const started = performance.now();
  await sleep(1000);
  const { mainMs } = await probed.read();
  return mainMs / (performance.now() - started);
}

/** What was computed, less what the same time costs an idle process. */
const rates = (tokens, ms, took, idle) => ({
  tokens,
  tokensPerSecond: round((tokens / ms) * 1000, 1),
  tokensPerCpuSecond: round((tokens / (took.processMs - idle * ms)) * 1000, 1),
  mainUsPerToken: round(((took.mainMs - idle * ms) / tokens) * 1000, 1),
});

/** Takes a share of a processor, as clients do. @returns what stops it */
function burn(share) {
  const turnMs = 10;
  const timer = setInterval(() => {
    const end = performance.now() + Math.min(share, 0.95) * turnMs;
    while (performance.now() < end);
  }, turnMs);
  return () => clearInterval(timer);
}

function startServer(reference, folder, probe) {
  const flags = ['--port', '0', '--kv-capacity', '32768', '--max-queue', '1024'];
  return startProbed(
    [here('../../dist/cli/main.js'), 'serve', `model=${reference}`, ...flags],
    folder,
    probe,
  );
}

/** Of the server's main thread under load. */
async function callbacksOf(reference, seconds, clients, folder) {
  const server = startServer(reference, folder, 'callback-probe.mjs');
  const address = await server.line();
  await server.read();
  const load = async (length) => {
    const end = performance.now() + length * 1000;
    const { answered, events, faults } = await runClients({
      address,
      clients,
      until: () => performance.now() > end,
    });
    return { answered, events, faults: faults.slice(0, 10), ...(await server.read()) };
  };
  const cold = await load(Math.min(5, seconds));
  const warm = await load(seconds);
  server.child.kill('SIGTERM');
  return { cold, warm };
}

async function loadServer(reference, seconds, clients, folder) {
  const server = startServer(reference, folder);
  const address = await server.line();
  const firstToken = await firstTokens(server, address, 100);
  const idle = await idleShare(server);
  const started = performance.now();
  const before = process.cpuUsage();
  const counts = await runClients({
    address,
    clients,
    until: () => performance.now() - started > seconds * 1000,
  });
  const ms = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  const took = await server.read();
  server.child.kill('SIGTERM');
  const { asked, answered, refused, events, tokens, faults } = counts;
  return {
    firstToken,
    clientsShare: round((user + system) / 1000 / ms),
    server: {
      ...{ clients, asked, answered, refused, events, faults: faults.slice(0, 10) },
      ...rates(tokens, ms, took, idle),
      ...{
        mainUsPerEvent: round(((took.mainMs - idle * ms) / events) * 1000, 1),
        longestMs: took.longestMs,
        rssBytes: took.rssBytes,
      },
    },
  };
}

async function loadEngine(reference, seconds, folder, neighboursShare) {
  const engine = startProbed([fileURLToPath(import.meta.url), reference, String(seconds), 'engine'], folder);
  await engine.line();
  const idle = await idleShare(engine);
  engine.child.stdin.write('go on\n');
  const stop = burn(neighboursShare);
  const { tokens, ms } = JSON.parse(await engine.line());
  stop();
  const took = await engine.read();
  engine.child.stdin.write('go on\n');
  return { ...rates(tokens, ms, took, idle), longestMs: took.longestMs };
}

/** The server, and the engine beside as much of its clients. */
async function compare(reference, seconds, clients, folder) {
  const loaded = await loadServer(reference, seconds, clients, folder);
  const { firstToken, clientsShare, server } = loaded;
  const engine = await loadEngine(reference, seconds, folder, clientsShare);
  const shareOfRate = round(server.tokensPerSecond / engine.tokensPerSecond, 3);
  const share = round(server.tokensPerCpuSecond / engine.tokensPerCpuSecond, 3);
  const httpUsPerEvent = round(
    (server.mainUsPerToken - engine.mainUsPerToken) * (server.tokens / server.events),
    1,
  );
  return { firstToken, clientsShare, server, engine, shareOfRate, share, httpUsPerEvent };
}

const [reference = 'smollm2-135m', length = '20', third = '200', what = ''] = process.argv.slice(2);
const seconds = Number(length);
if (third === 'engine') await runEngine(reference, seconds);
else {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-load-'));
  const measure = what === 'callbacks' ? callbacksOf : compare;
  try {
    const report = await measure(reference, seconds, Number(third), folder);
    console.log(JSON.stringify({ model: reference, seconds, ...report }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
