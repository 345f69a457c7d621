// Generation on the CPU and on a GPU through the public API: the same greedy tokens and log-probabilities, alone, in a
// batch, with a shared prefix, and with layers on both devices.

const ids = (n, seed, vocabulary) =>
  Int32Array.from({ length: n }, (_, i) => (i * i * 7 + i * 13 + seed * 31) % vocabulary);

/** One request, several at once, one that begins like an earlier one. Every number is compared with `===`. */
async function generateAll(model, { promptTokens, maxTokens }) {
  const { vocabSize } = model.info;
  const options = { maxTokens, temperature: 0, ignoreEos: true, logprobs: 3 };
  const alone = await model.generate(ids(promptTokens, 0, vocabSize), options);
  const lengths = [1, 3, Math.ceil(promptTokens / 2), promptTokens];
  const together = await Promise.all(
    lengths.map((n, i) => model.generate(ids(n, i + 1, vocabSize), options)),
  );
  const begun = Int32Array.of(...ids(promptTokens, 0, vocabSize), alone.tokens[0]);
  const after = await model.generate(begun, { ...options, maxTokens: Math.max(1, maxTokens - 1) });
  return [alone, ...together, after].map(({ tokens, logprobs }) => ({ tokens: [...tokens], logprobs }));
}

/** Where two lists of runs part, or undefined. */
export function firstDifference(expected, found) {
  for (const [run, { tokens, logprobs }] of expected.entries()) {
    for (const [i, token] of tokens.entries()) {
      const where = `run ${run + 1}, token ${i + 1}`;
      if (found[run].tokens[i] !== token) return `${where}: ${found[run].tokens[i]} instead of ${token}`;
      if (JSON.stringify(found[run].logprobs[i]) !== JSON.stringify(logprobs[i]))
        return `${where}: other log-probabilities`;
    }
  }
  return undefined;
}

async function on(Model, reference, options, use) {
  const model = await Model.load(reference, options);
  try {
    return await use(model);
  } finally {
    await model.dispose();
  }
}

/** Dtype of the weights and of the KV cache. */
const forms = [
  { dtype: 'int8', kvDtype: 'int8' },
  { dtype: 'fp32', kvDtype: 'fp32' },
  { dtype: 'int8', kvDtype: 'fp16' },
];

/**
 * @param {typeof import('../lib/index.js').Model} Model
 * @param {{ reference: string, name: string, promptTokens: number, maxTokens: number }} subject the prompt and the
 *   tokens fit into the model's context together
 * @yields {{ name: string, passed: boolean, detail?: string }} one for each form and share of layers, as it is known
 */
export async function* compareDevices(Model, subject, device = 'cuda') {
  for (const form of forms) {
    const expected = await on(Model, subject.reference, { device: 'cpu', ...form }, (model) =>
      generateAll(model, subject),
    );
    for (const gpuLayers of ['auto', 1]) {
      const cache = form.kvDtype === form.dtype ? '' : ` with a cache of ${form.kvDtype}`;
      const layers = gpuLayers === 'auto' ? 'all layers' : 'the last layer';
      const detail = await on(Model, subject.reference, { device, ...form, gpuLayers }, async (model) => {
        const wanted = gpuLayers === 'auto' ? model.info.layers : gpuLayers;
        if (model.info.gpuLayers !== wanted) return `${model.info.gpuLayers} of ${wanted} layers fitted`;
        return firstDifference(expected, await generateAll(model, subject));
      });
      const name = `${subject.name}, ${form.dtype}${cache}, ${layers} on the GPU`;
      yield { name, passed: detail === undefined, ...(detail === undefined ? {} : { detail }) };
    }
  }
}
