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
  /** `vocab`: as the file has it, or a TokenIndex; then `merges` may be a MergeList of it. */
  model: Component & { vocab: unknown };
}

/** What chat templates and generation need beside the vocabulary. */
export interface SpecialTokens {
  bos?: string;
  eos?: string;
  unk?: string;
  pad?: string;
  sep?: string;
  cls?: string;
  mask?: string;
  /** Those that this model alone has, by their names: `image_token`. */
  others?: Readonly<Record<string, string>>;
}

export interface NamedTemplate {
  name: string;
  template: string;
}

/** By its name, or as the reference does: where there are tools and a template for them, that one. undefined: there is none. */
export function chosenTemplate(
  templates: readonly NamedTemplate[],
  { template, tools }: { template?: string; tools?: readonly unknown[] },
): NamedTemplate | undefined {
  const named = (name: string): NamedTemplate | undefined => templates.find((one) => one.name === name);
  if (template !== undefined) return named(template);
  return (tools === undefined ? undefined : named('tool_use')) ?? named('default');
}

export interface TokenizerDefinition {
  json: TokenizerJson;
  specialTokens: SpecialTokens;
  chatTemplates: NamedTemplate[];
  /** What a user should know of it. */
  warning?: string;
}

export function splitIsolated(pattern: string): Component {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}
