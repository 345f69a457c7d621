/**
 * Many texts through `embed`: memory beside the vectors stays flat, no callback of the main thread takes long of its processor's
 * time, and an abort ends it at once. 2,000 texts in `npm test`, 100,000 in the nightly run.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { amount } from '../nightly.js';
import { hasThreadClock } from '../thread-clock.js';

const texts = amount(2000, 100_000);
const mostMs = 8;
const mostAbortMs = 100;

/** Of several rounds each measure is that of the quietest: neighbours only add to it. `called` is the call itself. */
const program = `
  import { createHook } from 'node:async_hooks';
  import { readFileSync } from 'node:fs';
  import { Model } from ${JSON.stringify(join(packageRoot, 'dist', 'index.js'))};
  const clock = '/proc/self/task/' + process.pid + '/schedstat';
  const now = () => Number(readFileSync(clock, 'utf8').split(' ')[0]) / 1e6;
  let longest = 0;
  const starts = [];
  const hook = createHook({
    before() { starts.push(now()); },
    after() { if (starts.length > 0) longest = Math.max(longest, now() - starts.pop()); },
  });
  const model = await Model.load(${JSON.stringify(join(packageRoot, 'test/fixtures/encoders/bert'))});
  const words = 'the creature opened its eyes and I write these lines in haste my dear sister'.split(' ');
  const textOf = (i) => Array.from({ length: 1 + (i % 13) }, (_, k) => words[(i * 7 + k * 3) % words.length]).join(' ');
  const all = Array.from({ length: ${texts} }, (_, i) => textOf(i));
  await model.embed(all.slice(0, 1000));

  // Memory: that of the vectors is theirs, all else must not grow with the texts.
  const resident = [];
  const step = Math.floor(all.length / 10);
  let last = 0;
  const vectors = await model.embed(all, {
    onProgress: ({ done, total }) => {
      if (total !== all.length || done !== last + 1) throw new Error('progress went from ' + last + ' to ' + done);
      last = done;
      if (done % step !== 0) return;
      globalThis.gc();
      resident.push(process.memoryUsage.rss());
    },
  });
  const report = { done: last, vectors: vectors.length, resident };
  const again = await model.embed([all.at(-1), all[0]]);
  report.same = Buffer.from(again[0].buffer).equals(Buffer.from(vectors.at(-1).buffer));

  report.longest = Infinity;
  hook.enable();
  for (let round = 0; round < 6; ++round) {
    starts.length = 0;
    longest = 0;
    await model.embed(all.slice(0, 1000));
    report.longest = Math.min(report.longest, longest);
  }
  hook.disable();

  report.abort = Infinity;
  report.called = Infinity;
  for (let round = 0; round < 5; ++round) {
    const stop = new AbortController();
    let asked = 0;
    const onProgress = ({ done }) => {
      if (done !== 600) return;
      asked = performance.now();
      stop.abort();
    };
    const begin = now();
    const running = model.embed(all, { signal: stop.signal, onProgress });
    report.called = Math.min(report.called, now() - begin);
    const failed = await running.then(() => false, () => true);
    if (!failed || asked === 0) throw new Error('the abort came too late');
    report.abort = Math.min(report.abort, performance.now() - asked);
    await model.embed('a');
  }
  await model.dispose();
  console.log(JSON.stringify(report));
`;

/** What as many vectors of as many components take by themselves, made without a model. */
const bare = `
  const vectors = [];
  const resident = [];
  const given = new Float64Array(32).fill(1 / 3);
  while (vectors.length < ${texts}) {
    vectors.push(Float32Array.from(given));
    if (vectors.length % ${Math.floor(texts / 10)} !== 0) continue;
    globalThis.gc();
    resident.push(process.memoryUsage.rss());
  }
  console.log(JSON.stringify({ resident, vectors: vectors.length }));
`;

interface Report {
  resident: number[];
}

/** What the last eight tenths of the texts added. */
const grownBy = ({ resident }: Report) => resident.at(-1)! - resident[1]!;

async function run(code: string) {
  const options = { maxBuffer: 2 ** 22, env: { ...process.env, KVASIR_THREADS: '1' } };
  const flags = ['--expose-gc', '--input-type=module', '-e', code];
  const { stdout } = await promisify(execFile)(process.execPath, flags, options);
  return JSON.parse(stdout);
}

it.skipIf(!hasThreadClock)(
  `${texts} texts: flat memory, short callbacks, a prompt abort`,
  async () => {
    const report = await run(program);
    expect(report).toMatchObject({ done: texts, vectors: texts, same: true });
    expect(grownBy(report) - grownBy(await run(bare)), 'memory beside the vectors').toBeLessThan(8e6);
    expect(report.longest).toBeLessThan(mostMs);
    expect(report.called).toBeLessThan(mostMs);
    expect(report.abort).toBeLessThan(mostAbortMs);
  },
  amount(120_000, 1_200_000),
);
