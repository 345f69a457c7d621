// What is measured and what must be reached: issue 4's table. Plain data; judging it is verdicts.mjs's.

/**
 * `batch` random prompts of `prompt` tokens and `tokens` tokens after each.
 * @typedef {object} Work
 * @property {string} title
 * @property {'prefill' | 'decode' | 'first'} quantity tokens per second over all sequences; 'first': milliseconds to the
 *   first token
 * @property {number} prompt
 * @property {number} tokens
 * @property {number} batch
 * @property {boolean} [long] left out of a quick run
 * @property {string[]} [also] engines that no target asks for, measured for comparison
 */

/** @type {Record<string, Work>} */
export const works = {
  'prefill-512': {
    ...{ title: 'INT8 prefill, 512 tokens', quantity: 'prefill', prompt: 512, tokens: 1, batch: 1 },
    also: ['llama-q8_0-fa0', 'llama-q8_0-fa1', 'onnxruntime-int8'],
  },
  'decode-short': {
    ...{ title: 'INT8 decode, short context', quantity: 'decode', prompt: 16, tokens: 128, batch: 1 },
    also: ['node-llama-cpp-q8_0', 'onnxruntime-int8'],
  },
  'prefill-2048': {
    ...{ title: 'INT8 prefill, 2,048 tokens', quantity: 'prefill', prompt: 2048, tokens: 1, batch: 1 },
    long: true,
  },
  'decode-2048': {
    ...{ title: 'INT8 decode at depth 2,048', quantity: 'decode', prompt: 2048, tokens: 32, batch: 1 },
    long: true,
  },
  'batch-8': { title: 'INT8 decode, batch of 8', quantity: 'decode', prompt: 16, tokens: 32, batch: 8 },
  'first-16': { title: 'first token of 16 tokens', quantity: 'first', prompt: 16, tokens: 1, batch: 1 },
  'fp32-prefill': {
    title: 'FP32 prefill, 512 tokens',
    quantity: 'prefill',
    prompt: 512,
    tokens: 1,
    batch: 1,
  },
  'fp32-decode': {
    title: 'FP32 decode, short context',
    quantity: 'decode',
    prompt: 16,
    tokens: 32,
    batch: 1,
  },
  'avx2-prefill': {
    title: 'avx2 prefill, 512 tokens',
    quantity: 'prefill',
    prompt: 512,
    tokens: 1,
    batch: 1,
  },
  'avx2-decode': {
    title: 'avx2 decode, short context',
    quantity: 'decode',
    prompt: 16,
    tokens: 128,
    batch: 1,
  },
};

/** Tables of machines with AVX-512 VNNI. */
const vnniTables = ['avx512vnni', 'amx'];
const llama = ['llama-q8_0-fa0', 'llama-q8_0-fa1'];
const llamaAvx2 = ['llama-avx2-q8_0-fa0', 'llama-avx2-q8_0-fa1'];
const fp32Peers = [
  ...['llama-f32-fa0', 'llama-f32-fa1', 'node-llama-cpp-f32'],
  ...['ctranslate2-float32', 'pytorch-float32', 'onnxruntime-float32'],
];

/**
 * @typedef {object} Target
 * @property {'ratio' | 'share' | 'most'} kind 'ratio': `ours` over the best of `against` (the other way round for
 *   milliseconds). 'share': of the machine's read bandwidth. 'most': milliseconds of a single
 * @property {string} [work]
 * @property {string} [ours] engine
 * @property {string[]} [against] engines
 * @property {string} [baseWork] the work of `against` where it is not `work`
 * @property {string[]} [kernels] on a machine with another table the target stays open
 * @property {string} [single]
 * @property {number} [atLeast]
 * @property {number} [atMost]
 * @property {number} [aim]
 */

/** @type {Target[]} */
export const targets = [
  ratio('prefill-512', 'kvasir-int8', ['ctranslate2-int8'], 2, 3),
  ratio('prefill-512', 'kvasir-int8', ['node-llama-cpp-q8_0'], 6, 10),
  ratio('decode-short', 'kvasir-int8', [...llama, 'ctranslate2-int8'], 1.4, 1.7),
  { kind: 'share', work: 'decode-short', ours: 'kvasir-int8', atLeast: 0.8, aim: 0.9 },
  ratio('prefill-2048', 'kvasir-int8', llama, 6, 10),
  ratio('decode-2048', 'kvasir-int8', llama, 2.2, 3),
  ratio('batch-8', 'kvasir-int8', ['ctranslate2-int8'], 2.5, 4),
  ratio('fp32-prefill', 'kvasir-fp32', fp32Peers, 1.2, 1.4),
  ratio('fp32-decode', 'kvasir-fp32', fp32Peers, 1),
  { kind: 'share', work: 'fp32-decode', ours: 'kvasir-fp32', aim: 1 },
  {
    ...ownRatio('prefill-512', 'kvasir-int8', 'fp32-prefill', 'kvasir-fp32', 2.5, 3.3),
    kernels: vnniTables,
  },
  { ...ownRatio('decode-short', 'kvasir-int8', 'fp32-decode', 'kvasir-fp32', 3, 3.7), kernels: vnniTables },
  ratio('avx2-prefill', 'kvasir-avx2-int8', llamaAvx2, 2, 2.3),
  ratio('avx2-decode', 'kvasir-avx2-int8', llamaAvx2, 1.2, 1.5),
  ratio('avx2-prefill', 'kvasir-avx2-int8', ['kvasir-avx2-fp32'], 1.15),
  ratio('first-16', 'kvasir-int8', ['node-llama-cpp-q8_0'], 2, 4),
  most('sampling', 0.3, 0.1),
  most('weights-quantized', 100, 60),
  most('load-gguf', 400, 200),
  most('load-quantized', 300, 150),
];

/** Single measurements that are no generation; milliseconds. */
export const singles = {
  sampling: 'sampling a token, vocabulary 49k',
  'weights-quantized': 'native weights ready, quantized form',
  'load-gguf': 'load() of the GGUF',
  'load-quantized': 'load() of the quantized form',
  'load-node-llama-cpp': 'load of the Q8_0 GGUF',
};

/** The bigger shape is compared with llama.cpp alone, at the same ratios. */
const isLlamaQ8 = (engine) => /^(node-llama-cpp|llama)-q8_0/.test(engine);
export const targets1b = targets.filter(
  ({ kind, work, against, baseWork }) =>
    (kind === 'share' && work === 'decode-short') ||
    (kind === 'ratio' && !baseWork && against.some(isLlamaQ8)),
);

/** [work, engine] pairs that the targets need, and those of `also`, each once. */
export function pairsOf(chosenTargets) {
  const pairs = new Map();
  const add = (work, engine) => pairs.set(`${work} ${engine}`, { work, engine });
  for (const { kind, work, ours, against = [], baseWork } of chosenTargets) {
    if (kind === 'most') continue;
    add(work, ours);
    for (const engine of against) add(baseWork ?? work, engine);
    for (const engine of works[work].also ?? []) add(work, engine);
  }
  const order = Object.keys(works);
  return [...pairs.values()].sort((a, b) => order.indexOf(a.work) - order.indexOf(b.work));
}

function ratio(work, ours, against, atLeast, aim) {
  return { kind: 'ratio', work, ours, against, atLeast, aim };
}

function ownRatio(work, ours, baseWork, base, atLeast, aim) {
  return { kind: 'ratio', work, ours, against: [base], baseWork, atLeast, aim };
}

function most(single, atMost, aim) {
  return { kind: 'most', single, atMost, aim };
}
