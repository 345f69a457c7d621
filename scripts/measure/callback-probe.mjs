// Loaded into a process by NODE_OPTIONS=--import: how much time of the processor each callback of its main thread takes.
// SIGUSR2 writes a line of JSON to the file of KVASIR_PROBE, and begins anew.
// A callback is what runs from one entry into JavaScript to the next: a timer, an immediate, an event of a socket or a message
// from a thread, with all promises and ticks that it leaves to be run right behind it, and what the event loop does until the
// next entry. Time is that of the thread, not of the clock. A collection of V8's may fall into any callback: those into which
// one fell are told apart, and the collections with their own times by the clock.
// - longestMs: of all callbacks; longestOwnMs: of those into which no collection fell
// - over and overOwn: how many took more than 8 ms
// - longestCollectionMs
// - worst: the longest ones, each with its collections' time and the kind of its entry
import { createHook, executionAsyncResource } from 'node:async_hooks';
import { openSync, readSync, writeFileSync } from 'node:fs';
import { PerformanceObserver, performance } from 'node:perf_hooks';

const mostMs = 8;
/** Shorter ones are only counted. */
const keptMs = 4;
const clock = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
const text = Buffer.alloc(64);

/** Nanoseconds on a processor of the main thread. */
function threadMs() {
  // Linux brings the time of a thread that runs up to date when it is asked for that of its process, and at a tick else.
  process.cpuUsage();
  const end = readSync(clock, text, 0, text.length, 0);
  return Number(text.latin1Slice(0, Math.max(text.indexOf(32), 0) || end)) / 1e6;
}

let callbacks = 0;
let over = 0;
let kept = [];
/** Where the callback that runs began. */
let current = { cpu: threadMs(), clock: performance.now(), kind: '' };

function kindOf(resource) {
  const name = resource?.constructor?.name;
  return name === undefined || name === 'Object' ? 'native' : name;
}

/** Promises, ticks and microtasks belong to the callback that left them. */
const isLeft = (resource) => resource instanceof Promise || (resource != null && 'callback' in resource);

createHook({
  before() {
    const resource = executionAsyncResource();
    if (isLeft(resource)) return;
    next(kindOf(resource));
  },
}).enable();

function next(kind) {
  const end = performance.now();
  const ms = threadMs() - current.cpu;
  callbacks++;
  if (ms > mostMs) over++;
  if (ms > keptMs) kept.push({ ms, kind: current.kind, from: current.clock, to: end });
  current = { cpu: threadMs(), clock: performance.now(), kind };
}

let collections = [];
const take = (entries) => {
  for (const { startTime, duration } of entries)
    collections.push({ from: startTime, to: startTime + duration });
};
const observer = new PerformanceObserver((list) => take(list.getEntries()));
observer.observe({ entryTypes: ['gc'] });

const round = (ms) => Number(ms.toFixed(2));
/** Time of collections in a callback. */
const collected = ({ from, to }) =>
  collections.reduce((sum, one) => sum + Math.max(0, Math.min(to, one.to) - Math.max(from, one.from)), 0);

process.on('SIGUSR2', () => {
  take(observer.takeRecords());
  const all = kept.map((one) => ({ ...one, collectedMs: collected(one) }));
  const own = all.filter(({ collectedMs }) => collectedMs === 0);
  const longest = (list) => round(list.reduce((most, { ms }) => Math.max(most, ms), 0));
  const worst = all.sort((a, b) => b.ms - a.ms).slice(0, 8);
  const report = {
    callbacks,
    longestMs: longest(all),
    longestOwnMs: longest(own),
    over,
    overOwn: own.filter(({ ms }) => ms > mostMs).length,
    longestCollectionMs: longest(collections.map(({ from, to }) => ({ ms: to - from }))),
    worst: worst.map(({ ms, collectedMs, kind }) => ({
      ms: round(ms),
      collectedMs: round(collectedMs),
      kind,
    })),
  };
  writeFileSync(process.env.KVASIR_PROBE, `${JSON.stringify(report)}\n`);
  callbacks = 0;
  over = 0;
  kept = [];
  collections = [];
  current = { cpu: threadMs(), clock: performance.now(), kind: 'probe' };
});
