// Random model files, texts, conversations, options and answers of a hub, against the built package. A run is found again
// by its seed and number:
//   node scripts/fuzz.mjs --runs 200 --seed 1
//   node scripts/fuzz.mjs --seed 1 --from 137 --runs 1 --only files
// Runs are a child's, in order; a child that dies or hangs is replaced. Faults: a death, a hang (10 s of processor time, 10 s
// in which it does nothing at all, or 100 s: neighbours may have the processor meanwhile), an error
// that is no KvasirError, INTERNAL, an unhandled rejection, wrong bytes from a hub, a model that answers otherwise afterwards.
import { fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const child = fileURLToPath(new URL('fuzz/child.mjs', import.meta.url));
const hangMs = 10_000;
const longestMs = 100_000;
/** A child's first run waits for the package to be read and a model to be loaded. */
const startMs = 30_000;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    only: { type: 'string' },
  },
});
/** Processor time of a process and all its threads, ms; NaN where /proc does not tell. */
function processorMs(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10; // ticks of user and system time, a hundred a second
  } catch {
    return Number.NaN;
  }
}

/** One of its threads runs, or would if a neighbour let it. */
function isRunnable(pid) {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.some((task) => /\) [RD] /.test(readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1')));
  } catch {
    return false;
  }
}

const count = (text) => {
  if (/^\d+$/.test(text)) return Number(text);
  throw new Error(`"${text}" is no number`);
};
const { seed, from, runs } = { seed: count(values.seed), from: count(values.from), runs: count(values.runs) };
const end = from + runs;
const faults = [];
const outcomes = new Map();
let slowest = { run: -1, ms: 0, kind: '' };

function fault(run, what) {
  faults.push(run);
  console.log(`seed ${seed}, run ${run}: ${what}`);
}

/** Runs from `first` on, until the end or until the child is lost. @returns the next one to run */
function runChild(first) {
  return new Promise((resolve) => {
    const worker = fork(child, [String(seed), String(first), String(end), values.only ?? ''], {
      execArgv: ['--max-old-space-size=1024'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let next = first;
    let kind = 'start';
    let hung = false;
    let errors = '';
    worker.stderr.setEncoding('utf8').on('data', (text) => {
      errors = (errors + text).slice(-3000);
    });
    let since;
    let usedBefore;
    let lastRun;
    const heard = () => {
      since = performance.now();
      usedBefore = processorMs(worker.pid);
      lastRun = since;
    };
    heard();
    const timer = setInterval(() => {
      const now = performance.now();
      if (isRunnable(worker.pid)) lastRun = now;
      const most = kind === 'start' ? startMs : hangMs;
      const runs = now - lastRun < most && processorMs(worker.pid) - usedBefore < most;
      if (now - since < most || (runs && now - since < longestMs)) return;
      hung = true;
      worker.kill('SIGKILL');
    }, 500);
    worker.on('message', (message) => {
      if (message.kind !== undefined) kind = message.kind;
      if (message.fault !== undefined) fault(next, `${kind}: ${message.fault}`);
      if (message.outcome !== undefined) {
        const key = `${kind}: ${message.outcome}`;
        outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
        if (message.ms > slowest.ms) slowest = { run: next, ms: message.ms, kind };
        next += 1;
      }
      heard();
    });
    worker.on('close', (status, signal) => {
      clearInterval(timer);
      if (next >= end && !hung && status === 0) return resolve(next);
      if (hung) fault(next, `${kind}: hangs\n${errors}`);
      else fault(next, `${kind}: the process ended (${signal ?? status})\n${errors}`);
      resolve(next + 1);
    });
  });
}

for (let next = from; next < end; ) next = await runChild(next);
for (const [outcome, times] of [...outcomes].sort()) console.log(`${String(times).padStart(6)} ${outcome}`);
console.log(`the slowest was ${slowest.run} (${slowest.kind}): ${Math.round(slowest.ms)} ms`);
console.log(`${runs} runs, ${faults.length} faults`);
process.exitCode = faults.length > 0 ? 1 : 0;
