/**
 * Layers that route each token to some of many experts: what GGUF files say of the router, and how checkpoints name the
 * tensors. A field of a configuration that asks for another router is refused by name, with UNSUPPORTED_ARCHITECTURE.
 */
import { unsupported } from '../config-schema.js';
import { type ExpertsSpec, feedForwardOf, type ModelSpec } from '../spec.js';
import type { DecoderShape, HfShape } from './decoder.js';
import type { GgufFacts, Names, StoredAs, StoredIn } from './family.js';
import type { View } from './plan.js';

/** Which layers have experts, of what size and how they are chosen. */
export interface Routing {
  experts: ExpertsSpec;
  /** Of each expert. Default: that of a layer without. */
  size?: number;
  /** Default: every layer. */
  isIn?: (layer: number) => boolean;
}

export function withExperts<Shape extends DecoderShape>(
  shape: Shape,
  { experts, size = shape.feedForward.size, isIn = () => true }: Routing,
): Shape {
  return { ...shape, experts: { feedForward: { ...shape.feedForward, size, experts }, isIn } };
}

/** The same, where config.json says nothing else. */
export function hfExperts(family: string, shape: HfShape, routing: Routing): HfShape {
  const score = routing.experts.score === 'sigmoid' ? 'sigmoid' : 'softmax';
  allowOnly(family, shape.config, { scoring_func: [score], topk_method: ['greedy', 'noaux_tc'] });
  return withExperts(shape, routing);
}

/** Throws UNSUPPORTED_ARCHITECTURE for a field that is there with another value than these. */
export function allowOnly(
  family: string,
  config: Readonly<Record<string, unknown>>,
  allowed: Readonly<Record<string, readonly unknown[]>>,
): void {
  for (const [name, values] of Object.entries(allowed)) {
    const value = config[name] ?? undefined;
    if (value === undefined || values.includes(value)) continue;
    throw unsupported(family, `${name} = ${JSON.stringify(value).slice(0, 60)}`);
  }
}

/** Values of `expert_gating_func`; 0 says nothing. */
const ggufScores: ReadonlyMap<number, ExpertsSpec['score']> = new Map([
  [1, 'softmax'],
  [2, 'sigmoid'],
  [3, 'softmax_of_used'],
]);

/** From GGUF metadata; `own`: what the family does where a file is silent. */
export function ggufExperts(
  { keys }: GgufFacts,
  own: Pick<ExpertsSpec, 'score'> & Partial<ExpertsSpec>,
): Routing {
  const score = keys.count('expert_gating_func', 0);
  if (score !== 0 && !ggufScores.has(score)) throw unsupported(keys.prefix, `expert_gating_func = ${score}`);
  const groups = keys.count('expert_group_count', 1);
  const usedGroups = keys.count('expert_group_used_count', 1);
  const scale = keys.number('expert_weights_scale', 1);
  const first = keys.count('leading_dense_block_count', 0);
  const every = keys.count('interleave_moe_layer_step', 1);
  return {
    experts: {
      ...own,
      count: keys.count('expert_count'),
      used: keys.count('expert_used_count'),
      score: ggufScores.get(score) ?? own.score,
      renormalize: keys.flag('expert_weights_norm', own.renormalize ?? false),
      ...(groups > 1 ? { groups, usedGroups } : {}),
      ...(scale > 0 && scale !== 1 ? { scale } : {}),
    },
    ...(keys.has('expert_feed_forward_length') ? { size: keys.count('expert_feed_forward_length') } : {}),
    isIn: (layer) => layer >= first && (layer + 1) % every === 0,
  };
}

/** The same beside shared experts, of which a file says how many there are. */
export function ggufExpertsBesideShared(
  facts: GgufFacts,
  own: Pick<ExpertsSpec, 'score'> & Partial<ExpertsSpec>,
): Routing {
  const routing = ggufExperts(facts, own);
  const size = routing.size ?? facts.keys.count('feed_forward_length');
  const sharedSize = facts.keys.count('expert_shared_count', 0) * size || undefined;
  return { ...routing, experts: { ...routing.experts, sharedSize } };
}

type Part = 'gate' | 'up' | 'down';

/** Tensors that hold the experts one after the other: for each its gate and then its up, and its down. */
interface Stacked {
  gateUp: string;
  down: string;
  /** What follows these names. */
  end: '' | '.weight';
}

/** As `transformers` 5 writes them where it is not told to keep the published names. */
export const stackedExperts: Stacked = {
  gateUp: 'mlp.experts.gate_up_proj',
  down: 'mlp.experts.down_proj',
  end: '',
};

function partOf({ gateUp, down, end }: Stacked, part: Part, expert: number, size: number): StoredAs {
  const name = part === 'down' ? down : gateUp;
  return { name, view: { expert, ...(part === 'up' ? { firstRow: size } : {}) }, ends: [end, ''] };
}

/** In GGUF files experts are stacked for each part; older ones have a tensor for each expert. */
function ggufExpert(part: Part): StoredIn {
  return (_spec: ModelSpec, _layer: number, expert: number) => [
    { name: `ffn_${part}_exps`, view: { expert } },
    `ffn_${part}.${expert}`,
  ];
}

/** `each`: where a checkpoint has a tensor for each part of each expert. */
export function expertNames(
  router: string | readonly string[],
  each: ((expert: number, part: Part) => string) | undefined,
  stacked: readonly Stacked[] = [stackedExperts],
): Names {
  const names = (part: Part): Names[string] => [
    (spec, layer, expert) => [
      ...(each ? [each(expert, part)] : []),
      ...stacked.map((one) => partOf(one, part, expert, feedForwardOf(spec, layer).size)),
    ],
    ggufExpert(part),
  ];
  return {
    router: [router, 'ffn_gate_inp'],
    'experts.gate': names('gate'),
    'experts.up': names('up'),
    'experts.down': names('down'),
  };
}

const mixtralParts = { gate: 'w1', up: 'w3', down: 'w2' } as const;
/** Of Mixtral, whose GGUF files call themselves llama. */
export const mixtralExpertNames = expertNames(
  ['block_sparse_moe.gate', 'mlp.gate'],
  (expert, part) => `block_sparse_moe.experts.${expert}.${mixtralParts[part]}`,
);
export const mixtralRouter = { score: 'softmax', renormalize: true } as const;

/** Of Qwen and of those that followed. */
export const qwenExpertNames = expertNames(
  'mlp.gate',
  (expert, part) => `mlp.experts.${expert}.${part}_proj`,
);

/** Of gpt-oss: gates and ups take turns in one tensor, all lie transposed, and each expert has biases. */
export function interleavedExpertNames(router: string): Names {
  const names = (part: Part, name: string, own: View): Names[string] => [
    (_spec, _layer, expert) => ({ name, view: { expert, transposed: true, ...own }, ends: ['', '_bias'] }),
    ggufExpert(part),
  ];
  const gateUp = 'mlp.experts.gate_up_proj';
  return {
    router: [router, 'ffn_gate_inp'],
    'experts.gate': names('gate', gateUp, { firstRow: 0, group: 1, stride: 2 }),
    'experts.up': names('up', gateUp, { firstRow: 1, group: 1, stride: 2 }),
    'experts.down': names('down', 'mlp.experts.down_proj', {}),
  };
}

/** Of the bias that joins scores for the choice alone; `at`: the places that checkpoints have it in. */
export function selectionBiasNames(...at: readonly string[]): Names {
  const places = at.map((place) => ({ name: `${place}.e_score_correction_bias`, ends: ['', ''] }) as const);
  return { router_bias: [places, { name: 'exp_probs_b', ends: ['.bias', ''] }] };
}

/** Of the expert that every token uses. */
export function sharedNames(at: string): Names {
  return {
    'shared.gate': [`${at}.gate_proj`, 'ffn_gate_shexp'],
    'shared.up': [`${at}.up_proj`, 'ffn_up_shexp'],
    'shared.down': [`${at}.down_proj`, 'ffn_down_shexp'],
  };
}
