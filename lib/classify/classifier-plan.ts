/**
 * What config.json says of a classifier on top of a model: which hidden states it reads, its few layers, its labels. Their names
 * are those of `transformers`' ForSequenceClassification and ForTokenClassification.
 */
import * as v from 'valibot';
import { finite, index, parseConfig, unsupported } from '../config-schema.js';

export type Activation = 'tanh' | 'relu' | 'gelu';

export type ClassifierLayer =
  | { kind: 'linear'; name: string; bias: 'required' | 'optional' | 'none'; activation?: Activation }
  | { kind: 'norm'; name: string; eps: number };

export interface ClassifierPlan {
  /** One distribution a text, or one a token. */
  task: 'sequence' | 'token';
  /** Hidden states of a sequence that the layers read: of the first token, the last one that is no padding, or the mean. */
  pooling: 'cls' | 'last' | 'mean';
  padTokenId: number | undefined;
  layers: readonly ClassifierLayer[];
  /** By number, where the file names them. */
  labels: readonly (string | undefined)[];
  /** From logits to scores, as the pipelines of `transformers` choose. Undefined: by the number of labels. */
  scores: 'raw' | 'sigmoid' | 'softmax' | undefined;
  /** What sentence-transformers does to the one logit of a reranker. */
  rerankScores: 'raw' | 'sigmoid';
}

const configSchema = v.looseObject({
  architectures: v.nullish(v.array(v.string())),
  model_type: v.optional(v.string(), ''),
  id2label: v.nullish(v.record(v.string(), v.string())),
  problem_type: v.nullish(v.string()),
  pad_token_id: v.nullish(index),
  norm_eps: v.nullish(finite),
  layer_norm_eps: v.nullish(finite),
  norm_bias: v.nullish(v.boolean()),
  classifier_pooling: v.nullish(v.picklist(['cls', 'mean'])),
  classifier_activation: v.nullish(v.string()),
  classifier_bias: v.nullish(v.boolean()),
  sentence_transformers: v.nullish(v.looseObject({ activation_fn: v.nullish(v.string()) })),
  sbert_ce_default_activation_function: v.nullish(v.string()),
});
type Config = v.InferOutput<typeof configSchema>;

const dense = (name: string, activation?: Activation): ClassifierLayer => ({
  kind: 'linear',
  name,
  bias: 'required',
  activation,
});

/** Layers between the hidden state and the logits. */
const sequenceLayers: Record<string, (config: Config) => ClassifierLayer[]> = {
  bert: () => [dense('bert.pooler.dense', 'tanh'), dense('classifier')],
  roberta: () => [dense('classifier.dense', 'tanh'), dense('classifier.out_proj')],
  'xlm-roberta': () => [dense('classifier.dense', 'tanh'), dense('classifier.out_proj')],
  mpnet: () => [dense('classifier.dense', 'tanh'), dense('classifier.out_proj')],
  distilbert: () => [dense('pre_classifier', 'relu'), dense('classifier')],
  modernbert: modernBertLayers,
};
const tokenLayers: typeof sequenceLayers = {
  modernbert: modernBertLayers,
};

function modernBertLayers(config: Config): ClassifierLayer[] {
  const activation = config.classifier_activation ?? 'gelu';
  if (activation !== 'gelu')
    throw unsupported('modernbert', `the activation "${activation}" in its classifier`);
  return [
    { kind: 'linear', name: 'head.dense', bias: config.classifier_bias ? 'required' : 'none', activation },
    { kind: 'norm', name: 'head.norm', eps: config.norm_eps ?? 1e-5 },
    dense('classifier'),
  ];
}

/** Families of encoders, whose classifiers are called so; all others are decoders, with a `score`. */
const encoders = ['bert', 'roberta', 'xlm-roberta', 'mpnet', 'distilbert', 'modernbert'];
const kindPattern = /For(Sequence|Token)Classification$/;

/** Undefined: the model is no classifier. Throws MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE. */
export function classifierPlanOf(raw: Readonly<Record<string, unknown>>): ClassifierPlan | undefined {
  const named = Array.isArray(raw.architectures) ? raw.architectures[0] : undefined;
  const kind = typeof named === 'string' ? kindPattern.exec(named)?.[1] : undefined;
  if (kind === undefined) return undefined;
  const config = parseConfig(configSchema, raw);
  const isEncoder = encoders.includes(config.model_type);
  const task = kind === 'Token' ? 'token' : 'sequence';
  const score: ClassifierLayer = {
    kind: 'linear',
    name: 'score',
    bias: task === 'token' ? 'required' : 'none',
  };
  const table = task === 'token' ? tokenLayers : sequenceLayers;
  const layers = table[config.model_type]?.(config) ?? [isEncoder ? dense('classifier') : score];
  return {
    task,
    pooling: isEncoder
      ? config.model_type === 'modernbert'
        ? (config.classifier_pooling ?? 'cls')
        : 'cls'
      : 'last',
    padTokenId: config.pad_token_id ?? undefined,
    layers,
    labels: labelsOf(config),
    scores: scoresOf(config.problem_type),
    rerankScores: rerankScoresOf(config),
  };
}

function labelsOf({ id2label }: Config): (string | undefined)[] {
  const labels: (string | undefined)[] = [];
  for (const [id, label] of Object.entries(id2label ?? {})) {
    if (/^\d{1,5}$/.test(id)) labels[Number(id)] = label;
  }
  return Array.from(labels);
}

function scoresOf(problem: string | null | undefined): ClassifierPlan['scores'] {
  if (problem === 'regression') return 'raw';
  if (problem === 'multi_label_classification') return 'sigmoid';
  return undefined;
}

function rerankScoresOf(config: Config): 'raw' | 'sigmoid' {
  const named = config.sentence_transformers?.activation_fn ?? config.sbert_ce_default_activation_function;
  if (!named || named.endsWith('.Sigmoid')) return 'sigmoid';
  if (named.endsWith('.Identity')) return 'raw';
  throw unsupported(config.model_type, `the activation "${named}" for its scores`);
}
