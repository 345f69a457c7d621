// node-llama-cpp: node node_llama_cpp_driver.mjs PACKAGE_FOLDER MODEL.gguf THREADS
// Its own defaults, but for the threads and a context as long as Kvasir's default, so that both hold the same.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { serve } from './line-protocol.mjs';

const [folder, path, threads] = process.argv.slice(2);
const sampling = { temperature: 0.7, topK: 40, topP: 0.9, yieldEogToken: true };

await serve(async () => {
  const entry = createRequire(join(folder, 'package.json')).resolve('node-llama-cpp');
  const { getLlama } = await import(pathToFileURL(entry).href);
  const started = performance.now();
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    maxThreads: Number(threads),
    logLevel: 'error',
  });
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({ contextSize: 4096, threads: Number(threads) });
  const sequence = context.getSequence();
  const loadSeconds = (performance.now() - started) / 1000;
  return { facts: { loadSeconds }, generate: (prompts, newTokens) => generate(sequence, prompts, newTokens) };
});

async function generate(sequence, prompts, newTokens) {
  if (prompts.length > 1) throw new Error('one sequence only');
  await sequence.clearHistory();
  const started = performance.now();
  let first = 0;
  let count = 0;
  for await (const _token of sequence.evaluate(prompts[0], sampling)) {
    if (count === 0) first = performance.now();
    if (++count === newTokens) break;
  }
  const ended = performance.now();
  if (count !== newTokens) throw new Error(`wanted ${newTokens} tokens, got ${count}`);
  return { firstTokenSeconds: (first - started) / 1000, decodeSeconds: (ended - first) / 1000 };
}
