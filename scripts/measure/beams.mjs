// What beam search costs beside plain requests: node scripts/measure/beams.mjs [model] [rounds]
// Milliseconds a step of four beams and of four plain greedy requests, 64 tokens after prompts of 64, in turn; medians.
import { Model } from '../../dist/index.js';
import { median } from '../peers/statistics.mjs';

const [reference = 'smollm2-135m', rounds = '9'] = process.argv.slice(2);
const model = await Model.load(reference);
const { vocabSize } = model.info;
const steps = 64;
const round = (value) => Number(value.toFixed(3));

function prompt(seed) {
  let state = seed;
  return Int32Array.from({ length: 64 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % vocabSize;
  });
}

/** Prompts are in the cache: only steps count. */
async function perStep(start) {
  const results = await Promise.all(start());
  const { timings, usage } = results[0];
  // Tokens a second of all texts of the first request.
  return (1000 * (usage.completionTokens - 1)) / timings.decodeTokensPerSecond / (steps - 1);
}

const works = {
  plain: (i) => () =>
    Array.from({ length: 4 }, (_, k) =>
      model.generate(prompt(100 * i + k), { maxTokens: steps, temperature: 0, ignoreEos: true }),
    ),
  beams: (i) => () => [model.generate(prompt(100 * i), { maxTokens: steps, beams: 4, ignoreEos: true })],
};
const times = { plain: [], beams: [] };
for (let i = 0; i <= Number(rounds); ++i) {
  for (const [name, work] of Object.entries(works)) {
    const ms = await perStep(work(i));
    if (i > 0) times[name].push(ms);
  }
}
const plain = median(times.plain);
const beams = median(times.beams);
console.log(
  JSON.stringify({
    model: model.info.name,
    kernels: model.info.kernels,
    msPerStep: { plain: round(plain), beams: round(beams) },
    ratio: round(beams / plain),
  }),
);
await model.dispose();
