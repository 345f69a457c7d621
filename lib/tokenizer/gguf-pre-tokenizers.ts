/**
 * The pre-tokenizers that `tokenizer.ggml.pre` can name: all that llama.cpp knows, as patterns that part a text one after the
 * other. Where llama.cpp approximates a pattern of the model's own tokenizer, the model's own is here.
 */
import { KvasirError } from '../errors.js';
import type { Component } from './definition.js';
import {
  cl100kPattern,
  deepSeekPatterns,
  gpt2Pattern,
  o200kPattern,
  plainPattern,
  qwen35Pattern,
} from './patterns/known.js';

export interface PreTokenizerKind {
  patterns: readonly string[];
  normalizer?: Component;
  /** A pre-token that is itself in the vocabulary is taken whole. */
  ignoresMerges?: true;
  /** A text starts with BOS when the file does not say. */
  addsBos?: true;
  /** Text as it is, spaces as U+2581, instead of bytes as GPT-2 spells them. */
  plain?: true;
  /** Pre-tokens are what stands between white space. */
  words?: true;
}

const digit = '\\p{N}';
const threeDigits = '\\p{N}{1,3}';
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

const gpt2: PreTokenizerKind = { patterns: [gpt2Pattern] };
const digitsThenGpt2: PreTokenizerKind = { patterns: [digit, gpt2Pattern] };
const cl100k: PreTokenizerKind = { patterns: [cl100kPattern(threeDigits)] };
const llama3: PreTokenizerKind = { ...cl100k, ignoresMerges: true, addsBos: true };
const qwen: PreTokenizerKind = { patterns: [cl100kPattern(digit)] };
const qwen2: PreTokenizerKind = { ...qwen, normalizer: { type: 'NFC' } };
const o200k: PreTokenizerKind = { patterns: [o200kPattern(true, threeDigits)] };
const deepSeek3: PreTokenizerKind = { patterns: deepSeekPatterns };
const lines: PreTokenizerKind = { patterns: ['[^\\n]+|[\\n]+'], plain: true };
const words = ' ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+';

/** Letters of alphabets with case, as DeepSeek's first vocabulary lists them. */
const casedLetters =
  'A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}';
const deepSeekCjk = '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+';

/** o200k's words without Chinese, which has a pattern before it. */
function kimiPattern(): string {
  const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]';
  const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]';
  const lead = '[^\\r\\n\\p{L}\\p{N}]?';
  const tail = `${contractions}?`;
  return `[\\p{Han}]+|${lead}${upper}*${lower}+${tail}|${lead}${upper}+${lower}*${tail}|${threeDigits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`;
}

const asianScripts =
  '[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+';
const youtuScripts =
  '[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+';

/** Runs of white space in powers of two. */
const jais2 = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${threeDigits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|${[
  512, 256, 128, 64, 32, 16, 8, 4,
]
  .map((count) => `\\s{${count}}(?!\\S)`)
  .join('|')}|\\s{1,2}(?!\\S)|\\s{1}`;

/** What a file without a name gets. */
const fallback: PreTokenizerKind = {
  patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Pattern, '\\p{N}+', '[0-9][0-9][0-9]'],
};

const named: readonly (readonly [names: string, kind: PreTokenizerKind])[] = [
  ['default', fallback],
  ['llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano', llama3],
  ['minicpm5', { patterns: [threeDigits, cl100kPattern('\\p{N}+')], ignoresMerges: true }],
  ['dbrx smaug-bpe chatglm-bpe', cl100k],
  ['glm4 glm5', { ...cl100k, ignoresMerges: true }],
  ['jais-2', { patterns: [jais2] }],
  [
    'deepseek-llm',
    {
      patterns: [
        '[\\r\\n]',
        `\\s?[${casedLetters}]+`,
        '\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+',
        '\\s+$',
        deepSeekCjk,
        '\\p{N}+',
      ],
    },
  ],
  ['deepseek-coder', { patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', deepSeekCjk, digit] }],
  ['deepseek-v3 hunyuan-dense joyai-llm hy_v4', deepSeek3],
  [
    'spark2_5',
    {
      patterns: [
        deepSeekPatterns[0],
        deepSeekPatterns[1],
        deepSeekPatterns[2].replace('[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|', '[\\p{P}\\p{S}]+|[\r\n]|'),
        digit,
      ],
    },
  ],
  ['youtu', { patterns: [youtuScripts, o200kPattern(true, digit)], ignoresMerges: true }],
  ['falcon', { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|`]+', gpt2Pattern, '[0-9][0-9][0-9]'] }],
  ['starcoder refact command-r smollm codeshell exaone minerva-7b mellum2', digitsThenGpt2],
  [
    'gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en jina-v2-code roberta-bpe mpt olmo jais trillion granite-docling exaone4',
    gpt2,
  ],
  ['gemma4 granite-embed-multi-311m', { ...lines, addsBos: true }],
  ['sarvam-moe', lines],
  ['whitespace', { patterns: [], plain: true, words: true }],
  ['qwen2 deepseek-r1-qwen kormo f2llmv2 megrez', qwen2],
  ['stablelm2 hunyuan solar-open grok-2', qwen],
  ['qwen35', { patterns: [qwen35Pattern], normalizer: { type: 'NFC' } }],
  ['poro-chat bloom gpt3-finnish', { patterns: [words] }],
  ['viking', { patterns: [words, digit] }],
  ['tekken', { patterns: [o200kPattern(false, digit)], ignoresMerges: true, addsBos: true }],
  [
    'chameleon',
    {
      patterns: [
        '<sentinel:[0-9]+>',
        '(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z',
        '([\\t\\n]|    |  )',
        digit,
        '[\\p{P}!-/:-@\\[-`{-~]',
        gpt2Pattern,
      ],
      addsBos: true,
    },
  ],
  ['gpt-4o llama4 kanana2 talkie minimax-m2', o200k],
  ['granite-embed-multi-97m', { ...o200k, ignoresMerges: true }],
  ['tiny_aya cohere2moe', { patterns: ['\\d{1,3}(?=(?:\\d{3})*\\b)', o200kPattern(true, threeDigits)] }],
  ['kimi-k2', { patterns: [kimiPattern()] }],
  ['superbpe', { patterns: ['\\p{N}+', '(?=(\\d{3})+(?!\\d))'] }],
  [
    'bailingmoe bailingmoe2 llada-moe',
    {
      patterns: [
        `'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
      ],
    },
  ],
  [
    'seed-coder',
    {
      patterns: [
        `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${spaces}`,
      ],
    },
  ],
  ['ufakzeka', { patterns: [plainPattern(digit)] }],
  ['afmoe', { patterns: ['\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))', asianScripts, deepSeekPatterns[2]] }],
  ['laguna', { patterns: ['[^\\n]+|[\\n]+', cl100kPattern(digit)] }],
  [
    'exaone-moe',
    {
      patterns: [
        `${contractions}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
      ],
    },
  ],
];

const kinds: ReadonlyMap<string, PreTokenizerKind> = new Map(
  named.flatMap(([names, kind]) => names.split(' ').map((name) => [name, kind] as const)),
);

export const preTokenizerNames: readonly string[] = [...kinds.keys()];

/** Throws UNSUPPORTED_ARCHITECTURE for a name that is not known. */
export function preTokenizerKind(name: string): PreTokenizerKind {
  const kind = kinds.get(name);
  if (kind) return kind;
  throw new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `The GGUF file names the pre-tokenizer "${name}", which is not supported; supported are ${preTokenizerNames.join(', ')}.`,
  );
}
