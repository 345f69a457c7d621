/** The layers of a classifier, read once and computed in float64: a few hundred values a text. */
import { KvasirError } from '../errors.js';
import { type Container, rethrow } from '../native.js';
import type { FloatTensor } from '../safetensors-file.js';
import type { Activation, ClassifierLayer, ClassifierPlan } from './classifier-plan.js';

interface Linear {
  kind: 'linear';
  /** [outputs, inputs] */
  weight: Float32Array;
  bias: Float32Array | undefined;
  outputs: number;
  activation: Activation | undefined;
}
interface Norm {
  kind: 'norm';
  weight: Float32Array;
  bias: Float32Array | undefined;
  eps: number;
}

/** Rows of a matrix that are read at a time: 2 MiB of a wide one. */
const ROWS_AT_ONCE = 128;

export class Classifier {
  readonly plan: ClassifierPlan;
  /** One a logit. */
  readonly labels: readonly string[];
  readonly #layers: readonly (Linear | Norm)[];

  private constructor(plan: ClassifierPlan, layers: readonly (Linear | Norm)[], count: number) {
    this.plan = plan;
    this.#layers = layers;
    this.labels = Array.from({ length: count }, (_, i) => plan.labels[i] ?? `LABEL_${i}`);
  }

  /** Throws MODEL_FORMAT naming a tensor that is missing or has another shape than its neighbours. */
  static async read(plan: ClassifierPlan, container: Container, hiddenSize: number): Promise<Classifier> {
    const layers: (Linear | Norm)[] = [];
    let width = hiddenSize;
    for (const layer of plan.layers) {
      const read =
        layer.kind === 'norm'
          ? await readNorm(layer, container, width)
          : await readLinear(layer, container, width);
      if (read.kind === 'linear') width = read.outputs;
      layers.push(read);
    }
    return new Classifier(plan, layers, width);
  }

  /** Its layers as they were read, in float32. */
  tensors(): FloatTensor[] {
    return this.#layers.flatMap((layer, i) => {
      const { name } = this.plan.layers[i]!;
      const { weight, bias } = layer;
      const shape =
        layer.kind === 'linear' ? [layer.outputs, weight.length / layer.outputs] : [weight.length];
      const own = bias && { name: `${name}.bias`, shape: [bias.length], values: bias };
      return [{ name: `${name}.weight`, shape, values: weight }, ...(own ? [own] : [])];
    });
  }

  /** Logits [labels] of a hidden state. */
  logits(hidden: ArrayLike<number>): Float64Array {
    let x: Float64Array = Float64Array.from(hidden);
    for (const layer of this.#layers) x = layer.kind === 'linear' ? linear(layer, x) : norm(layer, x);
    return x;
  }

  /** [labels] */
  scores(hidden: ArrayLike<number>): Float64Array {
    const logits = this.logits(hidden);
    const kind = this.plan.scores ?? (logits.length === 1 ? 'sigmoid' : 'softmax');
    if (this.plan.task === 'token' || kind === 'softmax') return softmax(logits);
    return kind === 'raw' ? logits : logits.map(sigmoid);
  }
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function softmax(logits: Float64Array): Float64Array {
  const largest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function linear({ weight, bias, outputs, activation }: Linear, x: Float64Array): Float64Array {
  const out = new Float64Array(outputs);
  for (let row = 0, at = 0; row < outputs; row++) {
    let sum = bias?.[row] ?? 0;
    for (let i = 0; i < x.length; i++) sum += weight[at++] * x[i];
    out[row] = sum;
  }
  if (activation === 'tanh') return out.map(Math.tanh);
  if (activation === 'relu') return out.map((value) => Math.max(0, value));
  return activation === 'gelu' ? out.map((value) => 0.5 * value * (1 + erf(value / Math.SQRT2))) : out;
}

function norm({ weight, bias, eps }: Norm, x: Float64Array): Float64Array {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  const scale = 1 / Math.sqrt(variance + eps);
  return x.map((value, i) => (value - mean) * scale * weight[i] + (bias?.[i] ?? 0));
}

/** Its series up to 3, and the continued fraction of erfc beyond (Abramowitz and Stegun 7.1.6 and 7.1.14). */
function erf(x: number): number {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 3) {
    let [term, sum] = [size, size];
    for (let n = 1; term > 1e-18 * sum; n++) {
      term *= (2 * size * size) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / (Math.sqrt(Math.PI) * (size + fraction)));
}

async function readLinear(
  { name, bias, activation }: Extract<ClassifierLayer, { kind: 'linear' }>,
  container: Container,
  inputs: number,
): Promise<Linear> {
  const shape = shapeOf(`${name}.weight`, container);
  const outputs = shape?.[0] ?? 0;
  if (shape?.length !== 2 || shape[1] !== inputs || outputs < 1) {
    throw wrong(`${name}.weight`, shape, `[labels or units, ${inputs}]`);
  }
  const weight = new Float32Array(outputs * inputs);
  for (let row = 0; row < outputs; row += ROWS_AT_ONCE) {
    const rows = Math.min(ROWS_AT_ONCE, outputs - row);
    weight.set(await container.readRows(`${name}.weight`, row, rows).catch(rethrow), row * inputs);
  }
  return {
    kind: 'linear',
    weight,
    bias: await readVector(`${name}.bias`, bias, container, outputs),
    outputs,
    activation,
  };
}

async function readNorm(
  { name, eps }: Extract<ClassifierLayer, { kind: 'norm' }>,
  container: Container,
  size: number,
): Promise<Norm> {
  const weight = (await readVector(`${name}.weight`, 'required', container, size)) as Float32Array;
  return { kind: 'norm', weight, bias: await readVector(`${name}.bias`, 'optional', container, size), eps };
}

async function readVector(
  name: string,
  presence: 'required' | 'optional' | 'none',
  container: Container,
  size: number,
): Promise<Float32Array | undefined> {
  const shape = shapeOf(name, container);
  if (presence === 'none' || (shape === undefined && presence === 'optional')) return undefined;
  if (shape?.length !== 1 || shape[0] !== size) throw wrong(name, shape, `[${size}]`);
  return container.readRows(name, 0, 1).catch(rethrow);
}

function shapeOf(name: string, { tensors }: Container): readonly number[] | undefined {
  return tensors.find((tensor) => tensor.name === name)?.shape;
}

function wrong(name: string, shape: readonly number[] | undefined, expected: string): KvasirError {
  const has = shape === undefined ? 'is missing' : `has the shape [${shape.join(', ')}]`;
  return new KvasirError(
    'MODEL_FORMAT',
    `The classifier's tensor ${name} ${has}; it must be ${expected}. The file is incomplete, or its configuration belongs to another model.`,
  );
}
