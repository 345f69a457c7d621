// Random options: such as may be, in any combination, and such as cannot be; aborts at any moment; wrong things everywhere.
import * as aiSdk from '../../dist/ai-sdk/index.js';
import * as index from '../../dist/index.js';
import * as langchain from '../../dist/langchain/index.js';
import * as server from '../../dist/server/index.js';
import { randomText } from './content.mjs';
import { judgeCall, wrongCalls } from './wrong-calls.mjs';
import { wrongOptions } from './wrong-values.mjs';

const library = { ...index, ...aiSdk, ...langchain, ...server };
const { KvasirError, Model } = library;

function randomGenerateOptions(random) {
  const all = {
    maxTokens: () => random.between(1, 20),
    temperature: () => random.pick([0, 1e-9, 0.7, 1, 100]),
    topK: () => random.pick([0, 1, 5, 1e9]),
    topP: () => random.pick([1e-9, 0.5, 1]),
    minP: () => random.pick([0, 0.5, 1]),
    typicalP: () => random.pick([1e-9, 0.5, 1]),
    repetitionPenalty: () => random.pick([1e-6, 1, 1.3, 1000]),
    presencePenalty: () => random.pick([-2, 0, 2]),
    frequencyPenalty: () => random.pick([-2, 0, 2]),
    logitBias: () =>
      Object.fromEntries(random.several(5, () => [random.below(512), random.pick([-100, 0, 100])])),
    seed: () => random.below(2 ** 31),
    stop: () =>
      random.several(3, () => randomText(random, 2)).filter((one) => one !== '' && one.isWellFormed()),
    ignoreEos: () => random.chance(0.5),
    logprobs: () => random.pick([0, 1, 5, 1000]),
    topNSigma: () => random.pick([0, 0.1, 1, 100]),
    xtcProbability: () => random.pick([0, 0.5, 1]),
    xtcThreshold: () => random.pick([1e-9, 0.1, 0.5]),
    dynatempRange: () => random.pick([0, 0.5, 100]),
    dynatempExponent: () => random.pick([0.1, 1, 100]),
    dryMultiplier: () => random.pick([0, 0.8, 100]),
    dryBase: () => random.pick([1, 1.75, 100]),
    dryAllowedLength: () => random.pick([1, 2, 100]),
    dryPenaltyLastN: () => random.pick([-1, 0, 3]),
    drySequenceBreakers: () => random.pick([[], ['.'], ['the', ' a']]),
    badWords: () => random.several(4, () => random.pick(['the', '\n', [random.below(512)], [1, 2]])),
    minTokens: () => random.below(2),
    noRepeatNgram: () => random.below(4),
    n: () => random.between(1, 3),
  };
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, make]) => (random.chance(0.3) ? [[name, make()]] : [])),
  );
}

/** Without what does not go together. */
function consistent(random, options) {
  if (options.temperature === 0)
    for (const name of ['xtcProbability', 'dynatempRange', 'n']) delete options[name];
  if (random.chance(0.2)) {
    const { maxTokens, ignoreEos, noRepeatNgram, badWords } = options;
    return { maxTokens, ignoreEos, noRepeatNgram, badWords, beams: random.between(2, 5) };
  }
  return options;
}

/** Runs beside each other; one is left, one aborted, one awaited. */
async function generateSeveral(model, random) {
  const controller = new AbortController();
  const runs = Array.from({ length: random.between(1, 4) }, () =>
    model.generate('Once upon a time', {
      ...consistent(random, randomGenerateOptions(random)),
      signal: controller.signal,
    }),
  );
  const [abortMs, left, enough] = [random.below(20), random.chance(0.5), random.below(30)];
  if (random.chance(0.3)) setTimeout(() => controller.abort(), abortMs);
  if (left) for await (const { text } of runs[0]) if (text.length > enough) break;
  const results = await Promise.all(runs);
  for (const { finishReason } of results) {
    if (!['stop', 'length', 'abort'].includes(finishReason)) throw new Error(`finished by ${finishReason}`);
  }
}

async function loadSome(random) {
  const model = await Model.load(random.pick(['stories-260k', 'nano-gpt-sort']), {
    dtype: random.pick(['int8', 'fp32', 'auto']),
    kvDtype: random.pick(['int8', 'fp16', 'fp32', 'auto']),
    contextLength: random.pick([1, 2, 64, 512, 513, 2 ** 24]),
    kvCapacity: random.pick([undefined, 1, 512, 2 ** 28]),
    threads: random.pick([1, 3]),
    keepFp32: random.pick([undefined, [], ['layers.0'], ['embed.tokens'], ['layers.99']]),
  });
  await model.dispose();
}

export async function fuzzOptions({ random, model }) {
  if (random.chance(0.2)) return loadSome(random);
  await generateSeveral(model, random);
  const session = model.createSession();
  const calls = wrongCalls(library, model, session);
  const names = [...Object.keys(calls.throwing), ...Object.keys(calls.rejecting)];
  for (let i = 0; i < 10; ++i) {
    const name = random.pick(names);
    const fault = await judgeCall(calls, name, random, KvasirError);
    if (fault !== undefined) throw new Error(`${name}: ${fault}`);
  }
  session.dispose();
  await model.generate('a', wrongOptions(random, ['topP', 'stop']));
}
