// A long text traced for the entropy of attention alone: node scripts/measure/trace-memory.mjs [model] [tokens] [dtype]
// Prints one JSON object: seconds, the process's largest resident size in MB before (the model loaded and a text of 600 tokens
// traced) and after, and what the weights of all heads would take. After `npm run build`.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Model } from '../../dist/index.js';

const [reference = 'smollm2-135m', count = '8000', dtype = 'int8'] = process.argv.slice(2);
const tokens = Number(count);
const book = readFileSync(fileURLToPath(new URL('../../texts/frankenstein.txt', import.meta.url)), 'utf8');
const peakMb = () => Math.round(process.resourceUsage().maxRSS / 1024);

const model = await Model.load(reference, { device: 'cpu', dtype, contextLength: tokens });
const ids = Int32Array.from(model.tokenizer.encode(book.slice(0, 8 * tokens)).slice(0, tokens));
if (ids.length < tokens) throw new Error(`The text has ${ids.length} tokens.`);
const options = { tensors: ['attention_entropy'], predictions: false };
await model.trace(ids.subarray(0, 600), options);
const before = peakMb();
const began = performance.now();
// It takes minutes: what has been done is on stderr.
const onProgress = ({ done, total }) => process.stderr.write(`layer ${done} of ${total}, ${peakMb()} MB\n`);
const trace = await model.trace(ids, { ...options, onProgress });
const seconds = Number(((performance.now() - began) / 1000).toFixed(1));
const entropies = trace.tensors.map(({ shape }) => shape);
const heads = entropies.reduce((sum, [, n]) => sum + n, 0);
const after = peakMb();
const report = {
  ...{ model: reference, dtype, tokens, layers: entropies.length, heads, seconds },
  ...{ peakMbBefore: before, peakMb: after, grownMb: after - before },
  weightsMb: Math.round((4 * heads * tokens * tokens) / 2 ** 20),
  meanEntropy: trace.tensors.reduce((sum, { statistics }) => sum + statistics.mean, 0) / entropies.length,
};
process.stdout.write(`${JSON.stringify(report)}\n`);
await model.dispose();
