// What drafts bring: node scripts/measure/speculation.mjs [model] [--draft=MODEL] [--pairs=N]
// Decoding with and without, in turns, on tasks whose answers repeat their prompts and on others. Of each task the ratio of
// tokens per second, its 95 % interval over the pairs of runs, and what was drafted and right. Texts must be equal.
import { Model } from '../../dist/index.js';

const given = process.argv.slice(2);
const flag = (name) => given.find((one) => one.startsWith(`--${name}=`))?.slice(name.length + 3);
const reference = given.find((one) => !one.startsWith('--')) ?? 'smollm2-135m';
const pairs = Number(flag('pairs') ?? 6);
const model = await Model.load(reference, { contextLength: 4096 });
const draft = flag('draft') && (await Model.load(flag('draft')));
const speculate = draft ? { draft } : 'prompt';

const article = `The harbour of Marrow Bay was built in 1864, when the railway reached the coast. For forty years it shipped slate
from the quarries in the hills, and at its height two hundred people worked on its three piers. The last slate left in
1931. After that the northern pier was used by fishing boats, the southern pier was closed, and the middle pier burned
down in a storm in 1952. In 1998 the town council bought the whole harbour for one pound. It repaired the northern pier,
turned the old customs house into a museum, and planted trees where the railway had been. Today the museum has thirty
thousand visitors a year, and the council wants to rebuild the middle pier in wood. A vote on the costs, about four
million pounds, is planned for the autumn.`;
const records = {
  service: 'billing',
  version: '2.4.1',
  owner: { team: 'payments', contact: 'payments@example.com' },
  limits: { requestsPerMinute: 600, burst: 50, timeoutSeconds: 30 },
  regions: ['eu-west-1', 'eu-central-1', 'us-east-1'],
  features: { invoices: true, refunds: true, exports: false },
  retention: { logsDays: 30, metricsDays: 90, backupsDays: 365 },
};
const chat = (content) => [{ role: 'user', content }];
const tasks = {
  summarize: {
    prompt: chat(`Summarize the text by quoting its most important sentences word for word.\n\n${article}`),
    maxTokens: 160,
  },
  'edit JSON': {
    prompt: chat(
      `Change requestsPerMinute to 900 in this JSON and print the whole JSON again, nothing else.\n\n${JSON.stringify(records, null, 2)}`,
    ),
    maxTokens: 280,
  },
  story: { prompt: chat('Write a story about a lighthouse keeper who finds a letter.'), maxTokens: 200 },
  'sampled story': {
    prompt: chat('Write a story about a clockmaker in a mountain village.'),
    maxTokens: 200,
    temperature: 0.9,
    seed: 7,
  },
};

const round = (value) => Number(value.toFixed(3));
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** By resampling the logarithms of the ratios, seeded. */
function intervalOf(ratios) {
  const logs = ratios.map(Math.log);
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % logs.length;
  };
  const means = Array.from({ length: 2000 }, () => mean(logs.map(() => logs[next()]))).sort((a, b) => a - b);
  return [means[50], mean(logs), means[1949]].map((value) => round(Math.exp(value)));
}

const report = {};
for (const [name, { prompt, ...options }] of Object.entries(tasks)) {
  const sampling = { temperature: 0, ...options };
  const run = async (how) => {
    const { text, timings, usage } = await model.generate(prompt, { ...sampling, speculate: how });
    return { text, tokens: usage.completionTokens, rate: timings.decodeTokensPerSecond, timings };
  };
  await run(false);
  const ratios = [];
  let last;
  const plainRates = [];
  for (let i = 0; i < pairs; i++) {
    const order = i % 2 === 0 ? [false, speculate] : [speculate, false];
    const runs = [await run(order[0]), await run(order[1])];
    const [plain, drafted] = i % 2 === 0 ? runs : runs.reverse();
    if (plain.text !== drafted.text) throw new Error(`${name}: another text with drafts`);
    ratios.push(drafted.rate / plain.rate);
    plainRates.push(plain.rate);
    last = drafted;
  }
  const [low, ratio, high] = intervalOf(ratios);
  const { draftedTokens, acceptedTokens } = last.timings;
  report[name] = {
    tokens: last.tokens,
    plain: round(mean(plainRates)),
    ratio,
    low,
    high,
    draftedTokens,
    acceptedTokens,
  };
}
console.log(
  JSON.stringify(
    { model: model.info.name, kernels: model.info.kernels, threads: model.info.threads, report },
    null,
    1,
  ),
);
await model.dispose();
await draft?.dispose();
