/** Describes a Hugging Face folder: config.json, safetensors, generation_config.json, tokenizer files. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ArchitecturePlan, planFromConfig } from '../architectures/index.js';
import { storedClassifierPlan, withClassifierFile } from '../classify/classifier-file.js';
import { type ClassifierPlan, classifierPlanOf } from '../classify/classifier-plan.js';
import { KvasirError } from '../errors.js';
import type { HfFolderFiles } from '../hub/model-files.js';
import type { Container } from '../native.js';
import { readShardIndex } from '../shard-index.js';
import { bindTensors } from './bind-tensors.js';
import type { ModelDescription } from './description.js';
import { generationDefaults } from './generation-config.js';
import { isInt8Form, readInt8Form } from './int8-form.js';
import { readJsonObject } from './json-file.js';
import { weightFormOf } from './scaled-weights.js';
import { tokenizerSourceOf } from './tokenizer-source.js';

type Weights = Omit<ModelDescription, 'tokenizerSource' | 'generationDefaults'>;

/** Weights that config.json describes. */
async function describeCheckpoint(config: Record<string, unknown>, container: Container): Promise<Weights> {
  const form = weightFormOf(config);
  const classifier = classifierPlanOf(config);
  const plan = withClassifier(planFromConfig(config), classifier);
  await nextTurn();
  return {
    architecture: plan.architecture,
    spec: plan.spec,
    ...(await bindTensors(plan, container, form)),
    ...(classifier && { classifier }),
  };
}

/** A classifier reads hidden states: there is no output layer, and its own tensors are read beside the graph. */
function withClassifier(plan: ArchitecturePlan, classifier: ClassifierPlan | undefined): ArchitecturePlan {
  if (classifier === undefined) return plan;
  const names = classifier.layers.map(({ name }) => name.replaceAll('.', '[.]'));
  return {
    ...plan,
    spec: { ...plan.spec, head: 'none' },
    tied: false,
    source: (canonical) => (canonical.startsWith('lm_head.') ? undefined : plan.source(canonical)),
    ignored: [...plan.ignored, new RegExp(`^(${names.join('|')})[.](weight|bias)$`), /^lm_head[.]weight$/],
  };
}

/** Every tensor that the index of shards names must be somewhere. Throws MODEL_FORMAT naming one that is not. */
async function checkIndex(path: string, { tensors }: Container): Promise<void> {
  const stored = new Set(tensors.map(({ name }) => name));
  const nowhere = [...(await readShardIndex(path))].filter(([name]) => !stored.has(name));
  const [first] = nowhere;
  if (first === undefined) return;
  const more = nowhere.length > 1 ? ` (and ${nowhere.length - 1} more)` : '';
  throw new KvasirError(
    'MODEL_FORMAT',
    `${path} says that ${first[1]} has the tensor ${first[0]}${more}, but no shard has it. The folder is incomplete, or its files belong to several models: download it again.`,
  );
}

/** Weights that describe themselves; config.json is there for people and must not belong to another model. */
async function describeInt8(
  config: Record<string, unknown>,
  container: Container,
  root: string,
): Promise<Weights> {
  const { source, sourceDtype, classifier: hash, ...form } = readInt8Form(container);
  if (config.model_type !== form.architecture) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `config.json has model_type ${JSON.stringify(config.model_type)?.slice(0, 60)}, but the INT8 weights beside it are those of a ${form.architecture} model.`,
    );
  }
  const int8Origin = { source, sourceDtype, ...(hash === undefined ? {} : { classifier: hash }) };
  const classifier =
    hash === undefined ? undefined : await withClassifierFile({ root, hash }, storedClassifierPlan);
  return { ...form, storedDtype: 'INT8', int8Origin, ...(classifier && { classifier }) };
}

/** Throws MODEL_FORMAT or UNSUPPORTED_ARCHITECTURE, naming what is wrong. */
export async function describeHfFolder(
  files: HfFolderFiles,
  container: Container,
): Promise<ModelDescription> {
  const config = await readJsonObject(files.config);
  if (files.shardIndex !== undefined) await checkIndex(files.shardIndex, container);
  const weights = isInt8Form(container)
    ? await describeInt8(config, container, files.root)
    : await describeCheckpoint(config, container);
  return {
    ...weights,
    tokenizerSource: { ...tokenizerSourceOf(files), embeddingRows: weights.spec.vocabSize },
    generationDefaults: await generationDefaults(files.generationConfig, config),
  };
}
