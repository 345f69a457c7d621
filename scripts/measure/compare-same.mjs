// Whether `compare` finds a difference where there is none, and one where there is: SmolLM2 in INT8 against itself,
// again and again, then once with every native step of one side made 10 % longer. After `npm run build`, on a machine
// where nothing else runs.
//   node scripts/measure/compare-same.mjs [repetitions = 10] [seconds for each = 40] [same|delay]
// `same` and `delay` run only that part.
// Exit status 1: more than one repetition in ten is wrong (the interval lacks 1, or reaches 5 % to either side), or the
// delay is not seen.
import os from 'node:os';
import { isMain, runMain } from '../command.mjs';

const delayed = 1.1;

/** Seconds of all cores that were at work, of this process and of all, since the machine started. */
function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  const busy = os.cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return { own: (user + system) / 1e6, all: busy / 1e3 };
}

async function speedups(compare, seconds) {
  const before = cpuSeconds();
  const { speedup, machine } = await compare('smollm2-135m', {
    a: 'int8',
    b: 'int8',
    promptLengths: [16, 512],
    latencySeconds: seconds,
    quality: false,
    memory: false,
  });
  const after = cpuSeconds();
  const own = after.own - before.own;
  return { ...speedup, spread: machine.spread, others: (after.all - before.all - own) / own };
}

const percent = (part) => `${(100 * part).toFixed(0)} %`.padEnd(10);

function say(name, { prefill, decode, spread, others }) {
  const cells = [prefill, decode].map(({ ratio, low, high, quads, endedBy }) =>
    `${ratio.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}), ${quads}, ${endedBy}`.padEnd(40),
  );
  process.stdout.write(`${name.padEnd(12)}${cells.join('')}${percent(spread)}${percent(others)}\n`);
}

/** Every step of the models that are loaded from here on, but for the first, takes longer. */
function delaySecondModel(addon) {
  const load = addon.loadModel;
  let loads = 0;
  addon.loadModel = (...args) => {
    const loading = load(...args);
    if (++loads !== 2) return loading;
    const promise = loading.promise.then((model) => {
      const step = model.step.bind(model);
      const slower = async (batch) => {
        const started = performance.now();
        const result = await step(batch);
        const until = started + delayed * (performance.now() - started);
        while (performance.now() < until);
        return result;
      };
      // The method is read-only on its prototype.
      Object.defineProperty(model, 'step', { value: slower });
      return model;
    });
    return { ...loading, promise };
  };
}

async function main() {
  const [repetitions = 10, seconds = 40] = process.argv.slice(2, 4).map(Number);
  const part = process.argv[4];
  const [{ compare }, { native }] = await Promise.all([
    import('../../dist/index.js'),
    import('../../dist/native.js'),
  ]);
  const heads = ['prefill, 512; quads, end', 'decode, 16; quads, end'].map((head) => head.padEnd(40));
  process.stdout.write(`${''.padEnd(12)}${heads.join('')}${'spread'.padEnd(10)}others' work\n`);
  const wrong = { prefill: 0, decode: 0 };
  for (let i = 1; i <= repetitions && part !== 'delay'; i++) {
    const found = await speedups(compare, seconds);
    say(`same ${i}`, found);
    for (const metric of ['prefill', 'decode']) {
      const { low, high, significant } = found[metric];
      if (significant || low < 0.95 || high > 1.05) wrong[metric]++;
    }
  }
  let seen = true;
  if (part !== 'same') {
    delaySecondModel(native());
    const slowed = await speedups(compare, seconds);
    say('+10 %', slowed);
    seen = slowed.prefill.high < 1 && slowed.decode.high < 1;
    process.stdout.write(`delay seen: ${seen}\n`);
  }
  const allowed = Math.ceil(repetitions / 10);
  process.stdout.write(`wrong: prefill ${wrong.prefill}, decode ${wrong.decode} of ${repetitions}\n`);
  return seen && wrong.prefill <= allowed && wrong.decode <= allowed ? 0 : 1;
}

if (isMain(import.meta.url)) await runMain(main);
