/**
 * The classifier of a model's INT8 form: its few layers in float32, in a file beside the weights, whose metadata says what they
 * are. Refuses a file that says it otherwise.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import { finite, index, parseConfig } from '../config-schema.js';
import { KvasirError } from '../errors.js';
import { type Container, native, rethrow } from '../native.js';
import { readRegularFile } from '../regular-file.js';
import { writeSafetensors } from '../safetensors-file.js';
import { Classifier } from './classifier.js';
import type { ClassifierPlan } from './classifier-plan.js';

/** Beside model.safetensors. */
export const classifierFile = 'classifier.safetensors';
const format = 'kvasir-classifier';
/** A pooler of 16,384 components. */
const MOST_BYTES = 2 ** 31 - 1;

const planSchema = v.strictObject({
  task: v.picklist(['sequence', 'token']),
  pooling: v.picklist(['cls', 'last', 'mean']),
  padTokenId: v.optional(index),
  layers: v.pipe(
    v.array(
      v.variant('kind', [
        v.strictObject({
          kind: v.literal('linear'),
          name: v.string(),
          bias: v.picklist(['required', 'optional', 'none']),
          activation: v.optional(v.picklist(['tanh', 'relu', 'gelu'])),
        }),
        v.strictObject({ kind: v.literal('norm'), name: v.string(), eps: v.pipe(finite, v.minValue(0)) }),
      ]),
    ),
    v.minLength(1),
  ),
  labels: v.array(v.nullable(v.string())),
  scores: v.optional(v.picklist(['raw', 'sigmoid', 'softmax'])),
  rerankScores: v.picklist(['raw', 'sigmoid']),
});

/**
 * Writes what `container` has of it. Resolves to the file's SHA-256. Throws MODEL_FORMAT naming a tensor that is missing, or what
 * the file system says.
 */
export async function writeClassifierFile(
  { plan, container, hiddenSize }: { plan: ClassifierPlan; container: Container; hiddenSize: number },
  path: string,
): Promise<string> {
  const classifier = await Classifier.read(plan, container, hiddenSize);
  await writeSafetensors(path, classifier.tensors(), { format, plan: JSON.stringify(plan) });
  return hashOf(path);
}

async function hashOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readRegularFile(path, MOST_BYTES))
    .digest('hex');
}

/**
 * What `use` makes of the file in a folder. Throws MODEL_NOT_FOUND where it is missing, MODEL_FORMAT where it is another than the
 * weights name by its hash.
 */
export async function withClassifierFile<Result>(
  { root, hash }: { root: string; hash: string },
  use: (container: Container) => Result | Promise<Result>,
): Promise<Result> {
  const path = join(root, classifierFile);
  if ((await hashOf(path)) !== hash) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `${path} is damaged, or belongs to another model: its SHA-256 is not what the weights say. Write the INT8 form again with kvasir quantize.`,
    );
  }
  const container = await native().openContainer([path]).catch(rethrow);
  try {
    return await use(container);
  } finally {
    container.close();
  }
}

/** Throws MODEL_FORMAT. */
export function storedClassifierPlan({ metadata }: Container): ClassifierPlan {
  const where = `"plan" in the metadata of ${classifierFile}`;
  let value: unknown;
  try {
    value = JSON.parse(metadata.format === format ? String(metadata.plan) : '');
  } catch (cause) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `${where} is no JSON. Write the INT8 form again with kvasir quantize.`,
      {
        cause,
      },
    );
  }
  const { padTokenId, scores, labels, ...plan } = parseConfig(planSchema, value, where);
  return { ...plan, padTokenId, scores, labels: labels.map((label) => label ?? undefined) };
}
