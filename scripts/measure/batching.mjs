// What concurrent requests cost each other: node scripts/measure/batching.mjs <model>
// 1. Tokens per second of eight requests at once against one alone, interleaved, medians of five rounds.
// 2. The longest wait for a token of four running requests while a neighbour brings a 2,048-token prompt.
import { Model } from '../../dist/index.js';

const [reference = 'smollm2-135m'] = process.argv.slice(2);
const model = await Model.load(reference);
const { vocabSize, contextLength } = model.info;
const sampling = { temperature: 0.8, topK: 40, topP: 0.95, ignoreEos: true };
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const round = (value) => Number(value.toFixed(2));

function prompt(length, seed) {
  let state = seed;
  return Int32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % vocabSize;
  });
}

async function tokensPerSecond(requests, seed) {
  const begin = performance.now();
  const runs = Array.from({ length: requests }, (_, i) =>
    model.generate(prompt(16, seed + i), { ...sampling, maxTokens: 96, seed: i }),
  );
  const results = await Promise.all(runs);
  const tokens = results.reduce((sum, result) => sum + result.usage.completionTokens, 0);
  return (tokens / (performance.now() - begin)) * 1000;
}

/** Longest time between two tokens of any of four running requests, from `start` on. */
async function longestWait(start) {
  let worst = 0;
  let watching = false;
  const neighbours = Array.from({ length: 4 }, async (_, i) => {
    let last = performance.now();
    for await (const _chunk of model.generate(prompt(16, 900 + i), {
      ...sampling,
      maxTokens: 200,
      seed: i,
    })) {
      const now = performance.now();
      if (watching) worst = Math.max(worst, now - last);
      last = now;
    }
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  watching = true;
  await start();
  watching = false;
  await Promise.all(neighbours);
  return worst;
}

await tokensPerSecond(8, 1);
const one = [];
const eight = [];
for (let i = 0; i < 5; ++i) {
  one.push(await tokensPerSecond(1, 100 + i));
  eight.push(await tokensPerSecond(8, 200 + 10 * i));
}
const long = Math.min(2048, contextLength - 16);
const calm = await longestWait(() => new Promise((resolve) => setTimeout(resolve, 300)));
const waits = [];
for (let i = 0; i < 3; ++i) {
  waits.push(
    await longestWait(() => model.generate(prompt(long, 7 + i), { ...sampling, maxTokens: 4, seed: 1 })),
  );
}
console.log(
  JSON.stringify({
    model: model.info.name,
    kernels: model.info.kernels,
    threads: model.info.threads,
    one: round(median(one)),
    eight: round(median(eight)),
    ratio: round(median(eight) / median(one)),
    longestWaitMs: { calm: round(calm), withLongPrompt: waits.map(round) },
  }),
);
await model.dispose();
