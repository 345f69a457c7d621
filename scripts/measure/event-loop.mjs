// How late a 1 ms timer comes while Kvasir works: node scripts/measure/event-loop.mjs <model> [--busy | --control]
// Lateness is weighted by time: a gap of d ms counts d times, because that is how long an event had to wait.
// --busy blocks the loop for 50 ms in each phase, to prove that the meter sees it. --control measures 5 s of node alone
// instead, two of its own threads computing key derivations: what is late there is the machine's.
// `stolenMs`: how long processors of a virtual machine were kept from work that they had, all together (Linux tells).
import { pbkdf2 } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Model } from '../../dist/index.js';

// As the command line does, before the addon is loaded.
process.env.KVASIR_SHORT_TIME_SLICE ??= '1';
process.env.KVASIR_TRIM_HEAP ??= '1';

/** Gaps of all phases, for the report of the whole. */
const allGaps = [];

class LoopMeter {
  #gaps = [];
  #last = performance.now();
  #timer = setInterval(() => {
    const now = performance.now();
    this.#gaps.push(now - this.#last);
    this.#last = now;
  }, 1);

  stop() {
    clearInterval(this.#timer);
    allGaps.push(...this.#gaps);
    return summarize(this.#gaps);
  }
}

function summarize(unsorted) {
  const gaps = unsorted.toSorted((a, b) => a - b);
  const total = gaps.reduce((sum, gap) => sum + gap, 0);
  let seen = 0;
  const p99 = gaps.find((gap) => {
    seen += gap;
    return seen >= 0.99 * total;
  });
  return { milliseconds: Math.round(total), p99: lateness(p99), worst: lateness(gaps.at(-1)) };
}

/** A gap of 1 ms is on time. */
const lateness = (gap) => Number(Math.max(0, (gap ?? 0) - 1).toFixed(2));

/** In ticks of 10 ms; NaN, which JSON writes as null, where nobody counts. */
function stolenMs() {
  if (process.platform !== 'linux') return NaN;
  return Number(readFileSync('/proc/stat', 'utf8').split(/\s+/)[8]) * 10;
}

const [reference = 'smollm2-135m', flag] = process.argv.slice(2);
const stolenBefore = stolenMs();

async function phase(work) {
  const meter = new LoopMeter();
  if (flag === '--busy') {
    setTimeout(() => {
      for (const begin = performance.now(); performance.now() - begin < 50; );
    }, 20);
  }
  await work();
  await new Promise((resolve) => setTimeout(resolve, flag === '--busy' ? 100 : 5));
  return meter.stop();
}

async function deriveKeys(until) {
  while (performance.now() < until) await promisify(pbkdf2)('password', 'salt', 400_000, 64, 'sha512');
}

if (flag === '--control') {
  const until = performance.now() + 5000;
  const control = await phase(() => Promise.all([deriveKeys(until), deriveKeys(until)]));
  console.log(JSON.stringify({ control, stolenMs: stolenMs() - stolenBefore }));
  process.exit();
}

function randomIds(count, vocabSize) {
  let state = 1;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % vocabSize;
  });
}

const report = {};
let model;
report.load = await phase(async () => {
  model = await Model.load(reference);
});
const prompt = randomIds(Math.min(2048, model.info.contextLength - 8), model.info.vocabSize);
report.prefill = await phase(() => model.generate(prompt, { maxTokens: 4, temperature: 0, ignoreEos: true }));

// Far more than the context: generate tokenizes all of it, and then refuses it with the counts.
const text =
  'The monster had 3 reasons to be angry, and none of them was good; nobody had asked him. '.repeat(5000);
let tokens = 0;
report.tokenize = await phase(async () => {
  try {
    await model.generate(text, { maxTokens: 1 });
  } catch (error) {
    if (error.code !== 'CONTEXT_OVERFLOW') throw error;
    tokens = Math.max(...Object.values(error.details).filter((value) => typeof value === 'number'));
  }
});
report.tokenize.tokens = tokens;
report.overall = summarize(allGaps);
report.stolenMs = stolenMs() - stolenBefore;
await model.dispose();
console.log(JSON.stringify(report));
