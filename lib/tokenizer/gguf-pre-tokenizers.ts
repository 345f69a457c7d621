/** The pre-tokenizers that `tokenizer.ggml.pre` can name, as tokenizer.json components. */
import { KvasirError } from '../errors.js';
import { type Component, splitIsolated } from './definition.js';
import { cl100kPattern, gpt2Pattern } from './patterns/known.js';

export interface ByteLevelKind {
  normalizer: Component | null;
  preTokenizer: Component;
  /** A pre-token that is itself in the vocabulary is taken whole. */
  ignoreMerges: boolean;
  /** Whether a text starts with BOS when the file does not say. */
  addsBos: boolean;
}

function sequence(...patterns: string[]): Component {
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return { type: 'Sequence', pretokenizers: [...patterns.map(splitIsolated), bytes] };
}

const gpt2: ByteLevelKind = {
  normalizer: null,
  preTokenizer: sequence(gpt2Pattern),
  ignoreMerges: false,
  addsBos: false,
};
const digitsThenGpt2: ByteLevelKind = { ...gpt2, preTokenizer: sequence('\\p{N}', gpt2Pattern) };
const llama3: ByteLevelKind = {
  normalizer: null,
  preTokenizer: sequence(cl100kPattern('\\p{N}{1,3}')),
  ignoreMerges: true,
  addsBos: true,
};
const qwen2: ByteLevelKind = {
  normalizer: { type: 'NFC' },
  preTokenizer: sequence(cl100kPattern('\\p{N}')),
  ignoreMerges: false,
  addsBos: false,
};

const kinds: Readonly<Record<string, ByteLevelKind>> = {
  default: gpt2,
  'gpt-2': gpt2,
  'phi-2': gpt2,
  mpt: gpt2,
  olmo: gpt2,
  'jina-es': gpt2,
  'jina-de': gpt2,
  smollm: digitsThenGpt2,
  starcoder: digitsThenGpt2,
  refact: digitsThenGpt2,
  'command-r': digitsThenGpt2,
  codeshell: digitsThenGpt2,
  'llama-bpe': llama3,
  'llama-v3': llama3,
  llama3: llama3,
  qwen2: qwen2,
  'deepseek-r1-qwen': qwen2,
  stablelm2: { ...qwen2, normalizer: null },
};

/** A file that names none is read as GPT-2. Throws UNSUPPORTED_ARCHITECTURE for a name that is not known. */
export function byteLevelKind(name: string): ByteLevelKind {
  const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (kind) return kind;
  throw new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `The GGUF file names the pre-tokenizer "${name}", which is not supported; supported are ${Object.keys(kinds).join(', ')}.`,
  );
}
