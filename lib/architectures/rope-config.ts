/** The rotary embedding of an attention as config.json and GGUF metadata say it; rope.ts computes what it holds. */
import * as v from 'valibot';
import type { RopeSpec } from '../spec.js';
import { count, plainObject, positive, unsupported } from '../config-schema.js';
import type { GgufFacts } from './family.js';
import {
  dividedByTensor,
  type RopeScaling,
  ropeScalingSchema,
  type RopeTable,
  ropeTable,
  yarnScale,
} from './rope.js';

/** A rotary embedding whose table is computed once sizes are known to be sane. */
export interface Rope {
  kind: RopeSpec['kind'];
  table: () => RopeTable;
}

/** Fields of config.json that rotary embeddings are read from. */
export const ropeConfigEntries = {
  max_position_embeddings: v.optional(count, 2048),
  original_max_position_embeddings: v.nullish(count),
  rope_theta: v.nullish(positive),
  rope_scaling: v.nullish(ropeScalingSchema),
  /** Newer files keep theta and scaling together here, for all layers or for each type of them. */
  rope_parameters: v.nullish(
    v.pipe(
      plainObject,
      v.looseObject({
        ...ropeScalingSchema.pipe[1].entries,
        full_attention: v.nullish(ropeScalingSchema),
        sliding_attention: v.nullish(ropeScalingSchema),
      }),
    ),
  ),
  partial_rotary_factor: v.nullish(positive),
} as const;
const ropeConfigSchema = v.looseObject(ropeConfigEntries);
export type RopeConfig = v.InferOutput<typeof ropeConfigSchema>;

/** What a family does where a configuration is silent. */
export interface RopeDefaults {
  kind?: RopeSpec['kind'];
  theta?: number;
  /** Rotated part of a head; undefined: the family rotates whole heads, and another part is refused. */
  partial?: number;
}

/** What scales the rotary embedding of all layers, or of one type of them. */
export function ropeScalingOf(
  { rope_scaling: scaling, rope_parameters: parameters }: RopeConfig,
  layerType: 'full_attention' | 'sliding_attention' = 'full_attention',
): RopeScaling {
  const nested = parameters?.[layerType];
  if (nested) return nested;
  // What is said of all layers together is meant for those without a window, in families that tell the two apart.
  if (layerType === 'sliding_attention') return {};
  if (scaling && Object.keys(scaling).length > 0) {
    // The older form keeps theta outside.
    return { ...scaling, rope_theta: scaling.rope_theta ?? parameters?.rope_theta };
  }
  return parameters ?? {};
}

/** Throws UNSUPPORTED_ARCHITECTURE. */
export function hfRope(
  family: string,
  config: RopeConfig,
  headDim: number,
  { defaults, scaling }: { defaults: RopeDefaults; scaling: RopeScaling },
): Rope {
  const { kind = 'half', theta = 10000, partial } = defaults;
  const part = scaling.partial_rotary_factor ?? config.partial_rotary_factor ?? partial ?? 1;
  if (part !== 1 && partial === undefined) throw unsupported(family, 'a partial rotary embedding');
  if (part > 1) throw unsupported(family, `a rotary embedding of ${part} heads`);
  const original = config.original_max_position_embeddings ?? scaling.original_max_position_embeddings;
  return {
    kind,
    table: () =>
      ropeTable({
        theta: scaling.rope_theta ?? config.rope_theta ?? theta,
        dim: Math.floor(headDim * part),
        maxPositions: config.max_position_embeddings,
        scaling: { ...scaling, original_max_position_embeddings: original },
      }),
  };
}

/** Llama 3's scaling as converters write it: one factor for each frequency, which divides it. */
const ropeFactors = 'rope_freqs.weight';
const longFactors = 'rope_factors_long.weight';
const shortFactors = 'rope_factors_short.weight';

/** Tensors that a rotary embedding is made of. */
export const ropeTensors = /^rope_(freqs|factors_(long|short))\.weight$/;

/** The scaling that GGUF keys tell, in the words of config.json. */
function ggufScaling({ keys, tensor }: GgufFacts): RopeScaling {
  const optional = (name: string) => (keys.has(name) ? keys.number(name) : undefined);
  const long = tensor(longFactors);
  const short = tensor(shortFactors);
  const original = optional('rope.scaling.original_context_length');
  const factor = optional('rope.scaling.factor') ?? optional('rope.scale_linear') ?? 1;
  const kind = keys.text('rope.scaling.type') ?? 'none';
  if (long !== undefined && short !== undefined) {
    return {
      rope_type: 'longrope',
      long_factor: [...long],
      short_factor: [...short],
      attention_factor: optional('rope.scaling.attn_factor'),
      original_max_position_embeddings: original,
    };
  }
  if (kind === 'yarn') {
    // A file that names no factor of cosine and sine has that of YaRN, with mscale 1 where it names mscale_all_dim.
    const logMultiplier = optional('rope.scaling.yarn_log_multiplier');
    const scale =
      optional('rope.scaling.yarn_attn_factor') ??
      yarnScale(factor, logMultiplier ? 1 : undefined, logMultiplier);
    return {
      rope_type: 'yarn',
      factor,
      original_max_position_embeddings: original,
      beta_fast: optional('rope.scaling.yarn_beta_fast'),
      beta_slow: optional('rope.scaling.yarn_beta_slow'),
      attention_factor: scale * (optional('rope.scaling.attn_factor') ?? 1),
    };
  }
  if (kind === 'linear' || kind === 'none') return factor === 1 ? {} : { rope_type: 'linear', factor };
  return { rope_type: kind };
}

function ggufBasis({ keys }: GgufFacts, headDim: number, theta: number) {
  if (theta <= 0) throw unsupported(keys.prefix, `a rotary base of ${theta}`);
  return { theta, dim: keys.count('rope.dimension_count', headDim) };
}

/** The rotary embedding of a GGUF file; `own`: what the family's scaling does and no key tells. */
export function ggufRope(
  facts: GgufFacts,
  kind: RopeSpec['kind'],
  headDim: number,
  own: RopeScaling = {},
): Rope {
  const { keys, tensor } = facts;
  return {
    kind,
    table: () => {
      const table = ropeTable({
        ...ggufBasis(facts, headDim, keys.number('rope.freq_base', 10000)),
        maxPositions: keys.count('context_length'),
        scaling: { ...ggufScaling(facts), ...own },
      });
      const factors = tensor(ropeFactors);
      return factors === undefined ? table : dividedByTensor(table, ropeFactors, factors);
    },
  };
}

/** The one of layers with a window: no scaling, and a base of its own. */
export function ggufWindowRope(
  facts: GgufFacts,
  kind: RopeSpec['kind'],
  headDim: number,
  theta = facts.keys.number('rope.freq_base', 10000),
): Rope {
  const base = facts.keys.number('rope.freq_base_swa', theta);
  return { kind, table: () => ropeTable(ggufBasis(facts, headDim, base)) };
}
