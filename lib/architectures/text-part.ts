/**
 * Checkpoints of models that see pictures and whose text part is a family here: its configuration and its tensors lie one step
 * deeper. The other parts, which text never reaches, are left out.
 */
import * as v from 'valibot';
import { parseConfig, plainObject } from '../config-schema.js';
import type { Family } from './family.js';

interface Whole {
  /** `model_type` of the text part where the file has none. */
  textType: string;
  /** What the reference takes where the text part is silent; such files give only what differs. */
  defaults: Readonly<Record<string, unknown>>;
}

/** By `model_type`. */
const wholes: ReadonlyMap<unknown, Whole> = new Map<string, Whole>([
  [
    'gemma3',
    {
      textType: 'gemma3_text',
      defaults: {
        vocab_size: 262208,
        hidden_size: 2304,
        intermediate_size: 9216,
        num_hidden_layers: 26,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        max_position_embeddings: 131072,
      },
    },
  ],
  ['mistral3', { textType: 'mistral', defaults: {} }],
  ['qwen3_5', { textType: 'qwen3_5_text', defaults: {} }],
  ['qwen3_5_moe', { textType: 'qwen3_5_moe_text', defaults: {} }],
]);

const schema = v.looseObject({
  text_config: v.pipe(plainObject, v.looseObject({ model_type: v.optional(v.string()) })),
  tie_word_embeddings: v.nullish(v.boolean()),
});

/** The configuration of the text part; undefined: the file is that of a model of text. Throws MODEL_FORMAT. */
export function textConfigOf(
  config: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> | undefined {
  const whole = wholes.get(config.model_type);
  if (whole === undefined) return undefined;
  const { text_config: text, tie_word_embeddings: tied } = parseConfig(schema, config);
  const said: Record<string, unknown> = { ...whole.defaults, model_type: whole.textType, ...text };
  // The older form says it of the whole.
  return said.tie_word_embeddings === undefined && typeof tied === 'boolean'
    ? { ...said, tie_word_embeddings: tied }
    : said;
}

/** The family as part of such a checkpoint: where its tensors are in the newer form and in the older one. */
export function withinWhole(family: Family): Family {
  return {
    ...family,
    prefixes: ['model.language_model.', 'language_model.model.'],
    outerPrefixes: ['', 'language_model.'],
  };
}

/** Tensors of the other parts. */
export const notText = /^(model\.)?(vision_tower|multi_modal_projector|visual)\./;
