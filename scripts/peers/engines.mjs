// The engines of the comparison: which program runs which form of the weights.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LlamaBench } from './llama-bench.mjs';
import { Resident } from './resident.mjs';

const driver = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Shapes that shares are computed from; `layerWeights`: values of the linears that every prefilled token meets. */
export const models = {
  'smollm2-135m': {
    ...{ kvasir: 'source.gguf', vocabulary: 49_152 },
    layerWeights: 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536),
  },
  '1b': {
    ...{ kvasir: 'q8_0.gguf', vocabulary: 128_256 },
    layerWeights: 16 * (2 * 2048 * 2048 + 2 * 2048 * 512 + 3 * 2048 * 8192),
  },
};

/** Families as --only names them. */
export const families = ['kvasir', 'llama', 'node-llama-cpp', 'ctranslate2', 'pytorch', 'onnxruntime'];

/** Of an engine's id; the longest name that it starts with. */
export function familyOf(engine) {
  return families.filter((name) => engine.startsWith(name)).sort((a, b) => b.length - a.length)[0];
}

/**
 * Makes the engine, which starts to load at once.
 * @param {string} id such as 'kvasir-int8', 'kvasir-avx2-fp32', 'llama-avx2-q8_0-fa1', 'ctranslate2-int8'
 * @param {{ scratch: string, model: string, threads: number, kvasirFile?: string }} place kvasirFile: another form of
 *   the model for Kvasir
 */
export function startEngine(id, { scratch, model, threads, kvasirFile }) {
  const files = join(scratch, 'models', model);
  const family = familyOf(id);
  const parts = id.slice(family.length + 1).split('-');
  const node = (name, ...args) => ({ command: process.execPath, args: [driver(name), ...args, threads] });
  const python = (name, path) => ({
    command: join(scratch, 'venv', 'bin', 'python'),
    args: [driver(name), path, threads],
  });
  const resident = (what, env = {}) => new Resident({ ...what, args: what.args.map(String), env });
  switch (family) {
    case 'kvasir': {
      const env = parts.length > 1 ? { KVASIR_CPU_ISA: parts[0] } : {};
      return resident(
        node('kvasir_driver.mjs', kvasirFile ?? kvasirModel(scratch, model), parts.at(-1)),
        env,
      );
    }
    case 'llama': {
      const native = join(scratch, 'llama-native', 'bin');
      const [flash, format] = [parts.at(-1) === 'fa1', parts.at(-2)];
      const libraries = parts[0] === 'avx2' ? join(scratch, 'llama-avx2', 'bin') : native;
      const program = join(native, 'llama-bench');
      return new LlamaBench({ program, libraries, model: join(files, `${format}.gguf`), flash, threads });
    }
    case 'node-llama-cpp':
      return resident(
        node('node_llama_cpp_driver.mjs', join(scratch, 'node'), join(files, `${parts[0]}.gguf`)),
      );
    case 'ctranslate2':
      return resident(python('ctranslate2_driver.py', join(files, `ct2-${parts[0]}`)));
    case 'pytorch':
      return resident(python('pytorch_driver.py', join(files, 'hf')));
    case 'onnxruntime':
      return resident(python('onnxruntime_driver.py', join(files, 'onnx', `${parts[0]}.onnx`)));
    default:
      throw new Error(`no engine is called ${id}`);
  }
}

/** The file that Kvasir loads: what the other forms of the weights were made from. */
export function kvasirModel(scratch, model) {
  return join(scratch, 'models', model, models[model].kvasir);
}
