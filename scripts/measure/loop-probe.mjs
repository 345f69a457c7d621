// Loaded into a server by NODE_OPTIONS=--import: how much time of the processor its main thread takes between two looks at
// the event loop. SIGUSR2 writes { longestMs, mainMs, processMs, rssBytes } as a line of JSON to the file of KVASIR_PROBE,
// and begins anew. Time of the thread, not of the clock: neighbours on the machine do not count, and neither do the looks.
import { readFileSync, writeFileSync } from 'node:fs';

/** Nanoseconds on a processor of the main thread, which Linux counts. */
const threadMs = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;

let longestMs = 0;
/** Of all looks so far: a thousand a second are much beside a few events. */
let looksMs = 0;
let last = threadMs();
let start = { main: last, process: process.cpuUsage() };

setInterval(() => {
  const now = threadMs();
  longestMs = Math.max(longestMs, now - last);
  last = threadMs();
  // The second reading takes as long as the first one.
  looksMs += 2 * (last - now);
}, 1).unref();

process.on('SIGUSR2', () => {
  const { user, system } = process.cpuUsage(start.process);
  const main = threadMs();
  const report = {
    longestMs: Number(longestMs.toFixed(2)),
    mainMs: Number((main - start.main - looksMs).toFixed(1)),
    processMs: Number(((user + system) / 1000 - looksMs).toFixed(1)),
    rssBytes: process.memoryUsage.rss(),
  };
  writeFileSync(process.env.KVASIR_PROBE, `${JSON.stringify(report)}\n`);
  longestMs = 0;
  looksMs = 0;
  last = threadMs();
  start = { main: last, process: process.cpuUsage() };
});
