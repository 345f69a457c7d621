// What a LoRA adapter costs at decoding: node scripts/measure/adapters.mjs [model] [rounds] [rank]
// Random adapters on q and v, and on all linears, as PEFT folders; 96 tokens each, base and adapters in turn. Prints
// medians of milliseconds a token, their ratios to the base, and the ratio of the bytes that a token reads.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Model } from '../../dist/index.js';
import { tracedOf } from '../../dist/model.js';
import { safetensors } from '../embedded/safetensors.mjs';
import { median } from '../peers/statistics.mjs';

const [reference = 'smollm2-135m', rounds = '7', rank = '16'] = process.argv.slice(2);
const model = await Model.load(reference);
const { spec } = tracedOf(model);
const round = (value) => Number(value.toFixed(3));

let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32 - 0.5;
}

/** A folder as PEFT saves it. */
function writeAdapter(folder, modules) {
  const tensors = {};
  for (const [name, [rows, columns]] of modules.flatMap(([name, inputs, outputs]) => [
    [`${name}.lora_A.weight`, [Number(rank), inputs]],
    [`${name}.lora_B.weight`, [outputs, Number(rank)]],
  ])) {
    tensors[`base_model.model.${name}`] = {
      shape: [rows, columns],
      data: Float32Array.from({ length: rows * columns }, () => 0.02 * random()),
    };
  }
  writeFileSync(join(folder, 'adapter_model.safetensors'), safetensors(tensors));
  writeFileSync(
    join(folder, 'adapter_config.json'),
    JSON.stringify({ peft_type: 'LORA', r: Number(rank), lora_alpha: 2 * Number(rank) }),
  );
}

/** Of Llama's shape. */
function modulesOf(names) {
  const { hiddenSize } = spec;
  const [{ heads, kvHeads, headDim }] = spec.attentions;
  const [{ size }] = spec.feedForwards;
  const shapes = {
    'self_attn.q_proj': [hiddenSize, heads * headDim],
    'self_attn.k_proj': [hiddenSize, kvHeads * headDim],
    'self_attn.v_proj': [hiddenSize, kvHeads * headDim],
    'self_attn.o_proj': [heads * headDim, hiddenSize],
    'mlp.gate_proj': [hiddenSize, size],
    'mlp.up_proj': [hiddenSize, size],
    'mlp.down_proj': [size, hiddenSize],
  };
  return Array.from(spec.stack.layers, (_, layer) =>
    Object.entries(shapes)
      .filter(([name]) => names === 'all' || names.includes(name))
      .map(([name, shape]) => [`model.layers.${layer}.${name}`, ...shape]),
  ).flat();
}

const folder = mkdtempSync(join(tmpdir(), 'kvasir-adapters-'));
try {
  const kinds = { base: undefined };
  // Its bytes have the rows in them that all adapters share, and that no token reads.
  writeAdapter(folder, modulesOf('all'));
  await model.loadAdapter(folder);
  for (const [name, names] of [
    ['qv', ['self_attn.q_proj', 'self_attn.v_proj']],
    ['all', 'all'],
  ]) {
    writeAdapter(folder, modulesOf(names));
    kinds[name] = await model.loadAdapter(folder);
  }
  const options = { maxTokens: 96, temperature: 0, ignoreEos: true };
  const times = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, []]));
  for (let i = 0; i <= Number(rounds); ++i) {
    for (const [kind, adapter] of Object.entries(kinds)) {
      const { timings } = await model.generate('Once upon a time', { ...options, adapter });
      if (i > 0) times[kind].push(1000 / timings.decodeTokensPerSecond);
    }
  }
  const base = median(times.base);
  const weights = model.info.memory.weights;
  const report = {
    model: model.info.name,
    dtype: model.info.dtype,
    kernels: model.info.kernels,
    rank: Number(rank),
  };
  for (const [kind, adapter] of Object.entries(kinds)) {
    const ms = median(times[kind]);
    const bytes = adapter ? adapter.info.memory.actual : 0;
    report[kind] = { ms: round(ms), ratio: round(ms / base), bytesRatio: round((weights + bytes) / weights) };
  }
  console.log(JSON.stringify(report));
} finally {
  rmSync(folder, { recursive: true });
  await model.dispose();
}
