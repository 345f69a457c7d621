/** A tokenizer as data: the contents of `tokenizer.json` and what its config adds. */
export interface AddedTokenEntry {
  id: number;
  content: string;
  /** It takes the white space before it, or after it. */
  lstrip: boolean;
  rstrip: boolean;
  /** Only where no word character touches it. */
  single_word?: boolean;
  special: boolean;
  /** Looked for in the text after the normalizer. */
  normalized?: boolean;
}

/** A node of the pipeline: normalizer, pre-tokenizer, decoder, post-processor. */
export type Component = { type: string; [field: string]: unknown };

export interface TokenizerJson {
  added_tokens: AddedTokenEntry[];
  normalizer: Component | null;
  pre_tokenizer: Component | null;
  post_processor: Component | null;
  decoder: Component | null;
  /** `vocab`: as the file has it, or a Map from token to id. */
  model: Component & { vocab: unknown };
}

/** What chat templates and generation need beside the vocabulary. */
export interface SpecialTokens {
  bos?: string;
  eos?: string;
  unk?: string;
  pad?: string;
}

export interface NamedTemplate {
  name: string;
  template: string;
}

export interface TokenizerDefinition {
  json: TokenizerJson;
  specialTokens: SpecialTokens;
  chatTemplates: NamedTemplate[];
}

/** The spelling of GPT-2's pre-tokenizer. `\s` is Unicode white space, as in the reference. */
export const gpt2Pattern =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

export function splitIsolated(pattern: string): Component {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

/**
 * Rewrites the pre-tokenizers whose JavaScript form differs from the reference: there `\s` takes U+FEFF and misses
 * U+0085, and `\d` knows ASCII digits only. As a `Split` they are translated exactly.
 */
export function exactPreTokenizer(component: Component | null): Component | null {
  if (component === null) return null;
  if (component.type === 'Sequence') {
    const parts = (component.pretokenizers as Component[]).map((part) => exactPreTokenizer(part));
    return { ...component, pretokenizers: parts };
  }
  if (component.type === 'Digits') return splitIsolated(component.individual_digits ? '\\p{N}' : '\\p{N}+');
  if (component.type === 'ByteLevel' && component.use_regex !== false && !component.add_prefix_space) {
    return {
      type: 'Sequence',
      pretokenizers: [splitIsolated(gpt2Pattern), { ...component, use_regex: false }],
    };
  }
  return component;
}

/**
 * Parts a pre-tokenizer from a last stage that only spells bytes as characters, so that words can be remembered as they
 * are written and spelled only once. `split` null: nothing is split.
 */
export function separateByteSpelling(component: Component | null): {
  split: Component | null;
  spellsBytes: boolean;
} {
  const stages = flatten(component);
  const last = stages.at(-1);
  const spellsBytes = last?.type === 'ByteLevel' && last.use_regex === false && !last.add_prefix_space;
  if (spellsBytes) stages.pop();
  return { split: stages.length === 0 ? null : { type: 'Sequence', pretokenizers: stages }, spellsBytes };
}

function flatten(component: Component | null): Component[] {
  if (component === null) return [];
  if (component.type !== 'Sequence') return [component];
  return (component.pretokenizers as Component[]).flatMap(flatten);
}
