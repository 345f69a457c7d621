/**
 * A family: how its configuration, in both formats, becomes a spec, and one table of names. The table has a line for each
 * tensor of a layer and for those outside of layers, keyed by the canonical name without `layers.N.`, the number of an
 * expert and `.weight`: 'q', 'experts.gate', 'final_norm'.
 */
import type { ModelSpec } from '../spec.js';
import type { GgufKeys } from './gguf-keys.js';
import type { ArchitecturePlan, Place, StoredTensor, View } from './plan.js';

/** A stored name without `.weight` or `.bias`, with the view of it, and whether it never has the family's usual prefix. */
export interface StoredAs {
  name: string;
  view?: View;
  unprefixed?: true;
  /** Outside of the layers: one for all of them. */
  shared?: true;
  /** What follows the name of weights and of biases. Default: ['.weight', '.bias']. */
  ends?: readonly [weight: string, bias: string];
}

/** Several: a checkpoint has one of them. */
export type Stored = string | StoredAs | readonly (string | StoredAs)[];

/** What is stored may depend on the sizes of the layer, and on the expert. */
export type StoredIn = Stored | ((spec: ModelSpec, layer: number, expert: number) => Stored);

/** [Hugging Face, GGUF]; undefined: that format has no such tensor. */
export type Names = Readonly<Record<string, readonly [hf: StoredIn | undefined, gguf: StoredIn | undefined]>>;

/** Whether a checkpoint must have a part, may have it, or must not. */
export type Presence = 'required' | 'optional' | 'none';

/** What a configuration says. */
export interface Configured {
  spec: ModelSpec;
  /** Of the biases of linears, by part: 'q', 'down', 'lm_head'. Default: none. */
  bias?: Presence | ((part: string) => Presence);
  /** Of the biases of norms, where norms are layer norms. Default: required. */
  normBias?: Presence;
  /** Of a head of its own. */
  head: Presence;
  /** The head is the token table, and a checkpoint may have either or both. Default false. */
  tied?: boolean;
  /** Tensors that carry nothing the graph needs. */
  ignored?: readonly RegExp[];
}

export interface GgufFacts {
  keys: GgufKeys;
  /** Rows of the stored token table. */
  embeddingRows: number;
  /** The values of a small tensor, or undefined where there is none. */
  tensor: (name: string) => Float32Array | undefined;
}

export interface Family {
  /** `model_type` of config.json. */
  modelType: string;
  /** `general.architecture` of GGUF, one or several; undefined: it has none of its own. */
  ggufArchitecture?: string | readonly string[];
  /** What layers are called: 'model.layers.N.' and 'blk.N.'. */
  layers: readonly [hf: string, gguf: string];
  /** What a Hugging Face checkpoint may put before every name, the usual prefix first. Default none. */
  prefixes?: readonly string[];
  /** The same of the names that never have that prefix. Default none. */
  outerPrefixes?: readonly string[];
  names: Names;
  fromConfig: (config: unknown) => Configured;
  /** GGUF converters reorder the rows of a head of q and k, so that neighbours rotate together. Default false. */
  ggufTurnsHeads?: true;
  /** Undefined without `ggufArchitecture`. */
  fromGguf?: (facts: GgufFacts) => Configured;
}

/** Canonical name of the token table. */
const table = 'embed.tokens';
const canonicalName = /^(?:layers\.(\d+)\.)?(?:experts\.(\d+)\.)?(.*?)(?:\.(weight|bias))?$/;

/** In the order of `Names`. */
type Format = 0 | 1;

/** The plan of a checkpoint: canonical names resolved through the family's table. */
export function planOf(family: Family, format: Format, configured: Configured): ArchitecturePlan {
  const { spec, head, tied = false, ignored = [] } = configured;
  const prefixes = format === 0 ? (family.prefixes ?? ['']) : [''];
  const outer = format === 0 ? (family.outerPrefixes ?? ['']) : [''];
  const storedAs = (canonical: string): StoredTensor | undefined => {
    const [, layer, expert, name, kind] = canonicalName.exec(canonical)!;
    const part = expert === undefined ? name! : `experts.${name}`;
    const stored = family.names[part]?.[format];
    if (stored === undefined) return undefined;
    const presence = presenceOf(part, kind, configured, head);
    if (presence === 'none') return undefined;
    const inLayer = layer === undefined ? '' : family.layers[format].replace('N', layer);
    const found =
      typeof stored === 'function' ? stored(spec, Number(layer ?? 0), Number(expert ?? 0)) : stored;
    const places = [found].flat().flatMap((one) => placesOf(one, kind, { inLayer, prefixes, outer }));
    return { places, presence };
  };
  const source = (canonical: string): StoredTensor | undefined => {
    const stored = storedAs(canonical);
    if (!tied || stored === undefined || canonical !== table) return stored;
    return { ...stored, places: [...stored.places, ...(storedAs('lm_head.weight')?.places ?? [])] };
  };
  return { architecture: family.modelType, spec, source, tied, ignored };
}

function presenceOf(
  part: string,
  kind: string | undefined,
  { bias = 'none', normBias = 'required', spec }: Configured,
  head: Presence,
): Presence {
  if (part === 'lm_head' && kind === 'weight') return head;
  if (kind !== 'bias') return 'required';
  if (part.endsWith('norm')) return spec.norm === 'layer' ? normBias : 'none';
  return typeof bias === 'function' ? bias(part) : bias;
}

/** Of one stored name, under each prefix. */
function placesOf(
  stored: string | StoredAs,
  kind: string | undefined,
  within: { inLayer: string; prefixes: readonly string[]; outer: readonly string[] },
): Place[] {
  const {
    name,
    view,
    unprefixed,
    shared,
    ends = ['.weight', '.bias'],
  }: StoredAs = typeof stored === 'string' ? { name: stored } : stored;
  const isBias = kind === 'bias';
  const full = (shared ? '' : within.inLayer) + name + ends[isBias ? 1 : 0];
  // A vector lies in one way only.
  const own = isBias && view?.transposed ? { ...view, transposed: undefined } : view;
  return (unprefixed ? within.outer : within.prefixes).map((prefix) => ({ name: prefix + full, view: own }));
}
