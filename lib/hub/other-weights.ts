/** Weights that people have and that are not read here: PyTorch's pickled programs, other frameworks' files. It names them. */
import { KvasirError } from '../errors.js';

const frameworks: readonly { name: string; files: RegExp }[] = [
  { name: 'TensorFlow or Keras', files: /\.(h5|keras|pb|tflite)$/ },
  { name: 'Flax', files: /\.msgpack$/ },
  { name: 'ONNX', files: /\.onnx$/ },
  { name: 'NumPy', files: /\.np[yz]$/ },
];
const pickled = /\.(bin|pth|pt)$/;

const listedNames = 6;

function list(files: readonly string[]): string {
  const more = files.length > listedNames ? ` and ${files.length - listedNames} more` : '';
  return files.slice(0, listedNames).join(', ') + more;
}

/** Of a folder or repository without .safetensors whose weights are among those `names`; undefined: it has none. */
export function otherWeightsOnly(place: string, names: Iterable<string>): KvasirError | undefined {
  const all = [...names].sort();
  const programs = all.filter((name) => pickled.test(name));
  if (programs.length > 0) {
    return new KvasirError(
      'MODEL_FORMAT',
      `${place} has PyTorch weights only: ${list(programs)}. They are pickled programs, which Kvasir does not run. Take the model's .safetensors or .gguf files, or write safetensors with save_pretrained of transformers.`,
    );
  }
  for (const { name, files } of frameworks) {
    const found = all.filter((file) => files.test(file));
    if (found.length === 0) continue;
    return new KvasirError(
      'MODEL_FORMAT',
      `${place} has weights of ${name} only: ${list(found)}. Take the model's .safetensors or .gguf files, which Kvasir reads.`,
    );
  }
  return undefined;
}
